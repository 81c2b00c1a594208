import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { onAllCores } from "./servers/launch.ts";

const run = promisify(execFile);

/** What `wrk` saw. */
export interface Load {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers with a status of 400 and more. */
  readonly refused: number;
  /** Connections that broke or timed out. */
  readonly broken: number;
}

/** What to ask for, and how hard. */
export interface Loading {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly connections: number;
  /** Whether the load may run where the servers do: for servers that have every core. */
  readonly isOnAllCores?: boolean;
}

/** Loads one URL with `wrk`: one thread, a closed loop. @throws Error when wrk says something else than it used to */
export async function load(loading: Loading): Promise<Load> {
  const { url, headers, seconds, connections, isOnAllCores = false } = loading;
  const fields = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const options = ["-t1", `-c${connections}`, `-d${Math.ceil(seconds)}s`, "--latency", "--timeout", "30s"];
  // wrk takes whole seconds alone, and tells what it has when it is interrupted.
  const short = Number.isInteger(seconds) ? [] : ["timeout", "--preserve-status", "-s", "INT", `${seconds}`];
  const words = [...short, "wrk", ...options, ...fields, url];
  const [command = "wrk", ...rest] = isOnAllCores ? onAllCores(words) : words;
  const { stdout } = await run(command, rest);
  return readReport(stdout);
}

function readReport(text: string): Load {
  const took = /(\d+) requests in ([\d.]+)(ms|s|m)/.exec(text);
  if (took === null) throw new Error(`wrk said:\n${text}`);
  const errors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  return {
    requests: Number(took[1]),
    seconds: milliseconds(took[2], took[3]) / 1000,
    p50Ms: quantile(text, 50),
    p99Ms: quantile(text, 99),
    refused: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
    broken: errors.slice(1).reduce((sum, count) => sum + Number(count), 0),
  };
}

function quantile(text: string, percent: number): number {
  const found = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, "m").exec(text);
  return milliseconds(found?.[1], found?.[2]);
}

function milliseconds(value = "NaN", unit = "s"): number {
  const factor = unit === "us" ? 0.001 : unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000;
  return Number(value) * factor;
}
