import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A server under load. */
export interface Server {
  readonly name: string;
  readonly url: string;
  /** The processes that its workers descend from. */
  readonly pids: readonly number[];
  /** Where this server has what PyPI has at `path`; undefined where it has no such thing. */
  readonly pathOf: (path: string) => string | undefined;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** A kind of server: how to start one, and whether this machine can. */
export interface ServerKind {
  readonly name: string;
  /** What it needs and this machine has not; undefined where all is there. */
  missing(): string | undefined;
  /** Whether it points file URLs at itself. */
  readonly rewrites: boolean;
  /** Whether it never compresses: then what it sends to who would take gzip is measured as it is. */
  readonly isIdentityOnly?: boolean;
  start(scene: Scene): Promise<Server>;
}

/** What a server is started with. */
export interface Scene {
  /** The origin's base URL. */
  readonly origin: string;
  /** An empty directory of the server's own. */
  readonly directory: string;
  /** Base URL of larder, for the control that sends the same bytes. */
  readonly larder: string;
}

export interface Launch {
  readonly name: string;
  readonly command: readonly string[];
  readonly port: number;
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly pathOf?: Server["pathOf"];
  /** A channel for messages to and from it. */
  readonly ipc?: boolean;
  /** Whether it may use every core, not the first alone. */
  readonly isOnAllCores?: boolean;
}

const START_PATIENCE_MS = 60_000;
const LOOK_EVERY_MS = 2;

// Before keepOffServersCore, after which fewer are seen.
const CORES = availableParallelism();
const PIN = CORES > 1 && findCommand("taskset") !== undefined;

// A thread that ends while taskset goes through them makes it fail.
const PIN_TRIES = 3;

/** Moves this process, and with it all that it starts, off the first core, which is the servers'. */
export function keepOffServersCore(): void {
  if (!PIN) return;
  const others = ["-a", "-c", "-p", `1-${CORES - 1}`, String(process.pid)];
  for (let tries = 1; ; tries++) {
    const { status, error } = spawnSync("taskset", others, { stdio: "ignore" });
    if (status === 0) return;
    if (tries === PIN_TRIES) throw new Error(`taskset ${others.join(" ")}: ${error ?? status}`);
  }
}

/** A command that may run everywhere, though who starts it may not. */
export function onAllCores(command: readonly string[]): readonly string[] {
  return PIN ? ["taskset", "-c", `0-${CORES - 1}`, ...command] : command;
}

/** Whether servers have a core of their own. */
export const ARE_PINNED = PIN;

// None may outlive the bench, however that ends.
const running = new Set<ChildProcess>();
process.once("exit", () => running.forEach((child) => child.kill()));

/** Starts a server on the first core and waits until it takes connections. Its log lines go to /dev/null. */
export async function launch(options: Launch): Promise<Server> {
  const { name, port, directory, ipc = false, isOnAllCores = false } = options;
  const pinned = PIN ? ["taskset", "-c", "0", ...options.command] : options.command;
  const words = isOnAllCores ? onAllCores(options.command) : pinned;
  const [command = "", ...args] = words;
  mkdirSync(directory, { recursive: true });
  const errorsFile = join(directory, "stderr.txt");
  const child = spawn(command, args, {
    cwd: directory,
    env: { ...process.env, ...options.env },
    stdio: [
      "ignore",
      openSync("/dev/null", "w"),
      openSync(errorsFile, "a"),
      ...(ipc ? (["ipc"] as const) : []),
    ],
  });
  const ended = once(child, "exit").then(
    () => "ended",
    (error: unknown) => String(error),
  );
  const giveUpAt = performance.now() + START_PATIENCE_MS;
  while (!(await takesConnections(port))) {
    const end = await Promise.race([ended, delay(LOOK_EVERY_MS, undefined)]);
    if (end !== undefined || performance.now() > giveUpAt)
      throw new Error(`${name} did not start: ${end ?? "time out"}; ${readFileSync(errorsFile, "utf8")}`);
  }
  running.add(child);
  void ended.then(() => running.delete(child));
  return {
    name,
    url: `http://127.0.0.1:${port}`,
    pids: child.pid === undefined ? [] : [child.pid],
    child,
    pathOf: options.pathOf ?? ((path) => path),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill();
      await ended;
    },
  };
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** For `missing`: a command that this machine has not. */
export function missingCommand(name: string): string | undefined {
  return findCommand(name) === undefined ? `no ${name} on the PATH` : undefined;
}

/** Path of a command, or undefined where the PATH and the places of daemons have none. */
export function findCommand(name: string): string | undefined {
  const places = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return places
    .map((place) => join(place, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false; // not here: the next place
      }
    });
}
