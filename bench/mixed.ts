import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cpuSeconds, residentBytes } from "./cpu.ts";
import type { MixedLoad, MixedOrder } from "./mixed-main.ts";
import type { Origin } from "./origin.ts";
import type { Server, ServerKind } from "./servers/launch.ts";

/** What became of a server under the mixed load: one run, from an empty cache on. */
export interface Mixed extends MixedLoad {
  readonly requests: number;
  readonly perSecond: number;
  /** Share of the requests that the origin saw nothing of. */
  readonly hitRatio: number;
  readonly cpuMicros: number;
  readonly residentBytes: number;
  /** Whether the load left on time: else the latencies are the load's own, and say little. */
  readonly isHeld: boolean;
}

export interface MixedPlan {
  readonly projects: number;
  readonly perSecond: number;
  readonly seconds: number;
}

/** Results by the server's name; a server that could not be measured says why. */
export type MixedResults = Readonly<Record<string, Mixed | { readonly skipped: string }>>;

// The same draws for every server, in every run.
const SEED = 20_260_101;
const HELD_LATE_MS = 10;

/** Starts servers one after the other, each with nothing held, and sends all the same requests at the same times. */
export async function measureMixed(
  plan: MixedPlan,
  kinds: readonly ServerKind[],
  origin: Origin,
  directory: string,
  say: (what: string) => void,
): Promise<MixedResults> {
  const results: Record<string, Mixed | { skipped: string }> = {};
  for (const kind of kinds) {
    say(`mixed: ${kind.name}`);
    const missing = kind.missing();
    if (missing !== undefined) {
      results[kind.name] = { skipped: missing };
      continue;
    }
    const own = join(directory, kind.name.replaceAll(/\W/g, "-"));
    mkdirSync(own, { recursive: true });
    const server = await kind.start({ origin: origin.url, directory: own, larder: "" });
    try {
      results[kind.name] = await measureOne(plan, server, origin);
    } finally {
      await server.stop();
    }
  }
  return results;
}

async function measureOne(
  { projects, perSecond, seconds }: MixedPlan,
  server: Server,
  origin: Origin,
): Promise<Mixed> {
  const requests = Math.round(perSecond * seconds);
  const seenBefore = await origin.total();
  const cpuBefore = cpuSeconds(server.pids);
  const load = await runLoad({
    url: server.url,
    warmUpUrl: `${origin.url}/-/total`,
    seed: SEED,
    projects,
    requests,
    perSecond,
  });
  return {
    ...load,
    requests,
    perSecond,
    hitRatio: 1 - ((await origin.total()) - seenBefore) / requests,
    cpuMicros: ((cpuSeconds(server.pids) - cpuBefore) / requests) * 1e6,
    residentBytes: residentBytes(server.pids),
    isHeld: load.lateP99Ms <= HELD_LATE_MS,
  };
}

async function runLoad(order: MixedOrder): Promise<MixedLoad> {
  // On the cores that the bench itself has, which are not the servers'.
  const child = fork(new URL("mixed-main.ts", import.meta.url), { execArgv: [] });
  const end = (): void => void child.kill();
  process.once("exit", end);
  try {
    child.send(order);
    const ended = once(child, "exit").then(() => undefined);
    const told = await Promise.race([once(child, "message"), ended]);
    if (told === undefined) throw new Error("the mixed load ended without a word");
    return told[0] as MixedLoad;
  } finally {
    child.kill();
    process.off("exit", end);
  }
}
