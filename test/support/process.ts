import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A larder in a process of its own, as `npm start` runs it. */
export interface LarderProcess {
  readonly child: ChildProcess;
  readonly url: string;
  /** Everything written to stdout so far. */
  readonly output: () => string;
  /** What has been logged so far, one object a line. */
  readonly log: () => readonly Record<string, unknown>[];
  /** The process ids of the workers that take requests, by the log. */
  readonly workerPids: () => readonly number[];
  /** Sends a signal and waits for the end. @returns exit code, or the signal's name */
  end(signal: NodeJS.Signals): Promise<number | string>;
}

/**
 * Starts one and waits until it listens. `env` is all that it gets, beside PATH.
 * @param node the Node that runs it, and its workers
 */
export async function startProcess(
  env: Readonly<Record<string, string>>,
  node = process.execPath,
): Promise<LarderProcess> {
  const { child, output } = launch({ PORT: "0", HOST: "127.0.0.1", ...env }, node);
  const log = (): Record<string, unknown>[] => parseLines(output());
  const port = await new Promise<string>((resolve, reject) => {
    const look = (): void => {
      const listening = /"port":(\d+)/.exec(output());
      if (listening?.[1] !== undefined) resolve(listening[1]);
    };
    child.stdout?.on("data", look);
    child.once("exit", (code) => reject(new Error(`larder ended with ${code}:\n${output()}`)));
  });
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    output,
    log,
    workerPids: () => workersOf(log()),
    end: async (signal) => {
      const gone = child.exitCode ?? child.signalCode;
      if (gone !== null) return gone;
      const ended = once(child, "exit");
      child.kill(signal);
      const [code, by] = (await ended) as [number | null, string | null];
      return code ?? by ?? "";
    },
  };
}

/** Whole lines of JSON; what is said on stderr, and a line that is still being written, is left out. */
function parseLines(output: string): Record<string, unknown>[] {
  return output
    .slice(0, output.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const WORKER_ENDS = ["a worker was lost, and is replaced", "a worker has ended"];

function workersOf(log: readonly Record<string, unknown>[]): number[] {
  const pids = new Set<number>();
  for (const { msg, workerPid } of log) {
    if (msg === "a worker takes requests") pids.add(Number(workerPid));
    else if (WORKER_ENDS.includes(String(msg))) pids.delete(Number(workerPid));
  }
  return [...pids];
}

/** Runs one that is expected to end by itself. @returns its exit code and all it wrote */
export async function runProcess(
  env: Readonly<Record<string, string>>,
): Promise<{ code: number; output: string }> {
  const { child, output } = launch(env);
  const [code] = (await once(child, "close")) as [number | null];
  return { code: code ?? -1, output: output() };
}

function launch(
  env: Readonly<Record<string, string>>,
  node = process.execPath,
): { child: ChildProcess; output: () => string } {
  const child = spawn(node, ["src/main.ts"], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"] ?? "", NODE_COMPILE_CACHE: "node_modules/.cache/larder", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { child, output: () => text };
}
