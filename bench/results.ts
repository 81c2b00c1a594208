import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { ColdRow, Pause } from "./cold.ts";
import type { Herd } from "./herd.ts";
import type { Verdict } from "./goals.ts";
import type { HitRow, Rounds } from "./hits.ts";
import type { MixedResults } from "./mixed.ts";
import { ARE_PINNED, findCommand } from "./servers/launch.ts";
import type { StartUp } from "./start-up.ts";
import type { Workers } from "./workers.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** All that a run has found, and what it was found on. */
export interface Results {
  readonly at: string;
  /** When the run began. */
  readonly commit: string;
  /** Whether `src/` was something else, then or by the end. */
  readonly isDirty: boolean;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: Rounds;
  /** Servers that were left out, and why. */
  readonly leftOut: Readonly<Record<string, string>>;
  readonly hits: readonly HitRow[];
  /** Hits that are read from the store, beside those from memory. */
  readonly stores: readonly HitRow[];
  readonly workers: readonly Workers[] | { readonly skipped: string } | undefined;
  readonly mixed: MixedResults;
  readonly goals: readonly Verdict[];
  readonly cold: readonly ColdRow[];
  readonly pauses: readonly Pause[];
  readonly herds: Readonly<Record<string, Readonly<Record<string, Herd>>>>;
  readonly startUp: StartUp | undefined;
  /** Resident memory of each server's processes: after the hits, and after everything. */
  readonly residentBytes: Readonly<Record<string, { readonly afterHits: number; readonly atEnd: number }>>;
}

interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Whether each server ran on the first core alone, and the load on the others. */
  readonly isPinned: boolean;
}

/** What the figures belong to: to be asked before the first server starts. */
export function circumstances(): Pick<Results, "at" | "commit" | "isDirty" | "machine" | "versions"> {
  const [first] = cpus();
  const machine = {
    cpu: first?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    isPinned: ARE_PINNED,
  };
  return {
    at: new Date().toISOString(),
    commit: git("rev-parse", "--short=12", "HEAD"),
    isDirty: git("status", "--porcelain", "--", "src", "package.json") !== "",
    machine,
    versions: {
      node: process.versions.node,
      nginx: firstMatch("nginx", ["-v"], /nginx\/(\S+)/),
      varnish: firstMatch("varnishd", ["-V"], /varnish-(\S+)/),
      redis: firstMatch("redis-server", ["--version"], /v=(\S+)/),
      wrk: firstMatch("wrk", ["-v"], /wrk (\S+)/),
      devpi: firstMatch("devpi-server", ["--version"], /^(\S+)/),
    },
  };
}

/** Whether what is measured is no longer that commit: servers are started throughout a run. */
export function hasSourceChanged(commit: string): boolean {
  return git("diff", "--name-only", commit, "--", "src", "package.json") !== "";
}

function git(...args: readonly string[]): string {
  try {
    return execFileSync("git", args, {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown"; // no git, or no repository: the figures are then nobody's
  }
}

function firstMatch(name: string, args: readonly string[], pattern: RegExp): string {
  const command = findCommand(name);
  if (command === undefined) return "absent";
  // Versions go to stderr as often as to stdout, and wrk ends with 1.
  const text = execFileSync("sh", ["-c", '"$0" "$@" 2>&1 || true', command, ...args], { encoding: "utf8" });
  return pattern.exec(text)?.[1] ?? "unknown";
}
