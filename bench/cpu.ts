import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** CPU time, user and system, that processes and all their descendants have used so far (proc(5): stat). */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const member of treesOf(pids)) {
    const stat = statOf(member);
    // Threads are in it; of children only those that live, which is all there are here.
    if (stat !== undefined) ticks += Number(stat[11]) + Number(stat[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Resident memory of processes and their descendants; pages that they share count in each. */
export function residentBytes(pids: readonly number[]): number {
  let kib = 0;
  for (const member of treesOf(pids))
    kib += Number(/^VmRSS:\s+(\d+) kB/m.exec(read(member, "status"))?.[1] ?? 0);
  return kib * 1024;
}

/** Processes and all their descendants. */
export function treesOf(roots: readonly number[]): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? Number(statOf(pid)?.[1] ?? -1) : -1;
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [...roots];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** The fields after the command's name, which may have spaces in it: 0 is the state, 1 the parent. */
function statOf(pid: number): string[] | undefined {
  const text = read(pid, "stat");
  return text === "" ? undefined : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // it ended since it was listed
  }
}
