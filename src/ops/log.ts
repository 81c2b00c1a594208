import { createRequire } from "node:module";
import { hostname } from "node:os";
import { destination, pino, type DestinationStream, type Level, type Logger } from "pino";
import { systemClock } from "../clock.ts";
import { redactJsonLine } from "../redact.ts";
import { isoTimes, renderRequestLine, type RequestLine } from "./request-line.ts";
import { stdoutStream } from "./stdout.ts";
import { wholeLine } from "./whole-line.ts";

export interface Log extends Logger {
  /** The line of a request, at level `info`. */
  readonly request: (line: RequestLine) => void;
  /** Resolves when every line is written: to be awaited before the process is ended. */
  readonly written: () => Promise<void>;
}

/** How to log. */
export interface LogOptions {
  readonly level: Level | "silent";
  /** `auto` is pretty on a terminal, else JSON. */
  readonly format: "auto" | "json" | "pretty";
  /**
   * Whether people look at it as it is written. By node:tty's `isatty`: touching `process.stdout` (importing `node:process`
   * does) makes a pipe non-blocking for all who share it, and a line that is being retried when the process ends is lost.
   */
  readonly isTerminal: boolean;
  /** Where lines go; stdout where absent. */
  readonly to?: DestinationStream;
  /** Whether other processes write to the same stdout: then no line may be so long that theirs get into it. */
  readonly isShared?: boolean;
  /** The number of the worker whose lines these are. */
  readonly worker?: number;
}

/**
 * Makes the logger: one line of JSON for each event, or on a terminal one that people can read.
 * Credentials are masked in every line, in its message, its members at any depth, and its errors' stacks.
 * JSON is written in pages of many lines, of which none waits longer than 5 ms; what still waits at the end of the process is
 * written then, and a warning at once.
 */
export function createLog({ level, format, isTerminal, to, isShared = false, worker }: LogOptions): Log {
  const isPretty = format === "pretty" || (format === "auto" && isTerminal);
  const stdout = isPretty || to !== undefined ? undefined : stdoutStream(isShared);
  const stream = stdout ?? (isPretty || to === undefined ? prettyStream(isTerminal, to) : to);
  const time = isoTimes(systemClock);
  const base = {
    pid: process.pid,
    hostname: hostname(),
    ...(worker !== undefined && { worker }),
  };
  const fit = isShared ? wholeLine : (line: string) => line;
  const log = pino(
    {
      level,
      base,
      timestamp: () => `,"time":"${time()}"`,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: (line) => fit(redactJsonLine(line)) },
    },
    stream,
  );
  const bindings = JSON.stringify(base).slice(1, -1);
  const isTold = log.isLevelEnabled("info");
  const request = (line: RequestLine): void => {
    if (isTold) stream.write(fit(renderRequestLine(line, time(), bindings)));
  };
  return Object.assign(log, { request, written: async () => await stdout?.written() });
}

/** Made for the eye, in this thread and at once: a worker thread would lose the last lines before a crash. */
function prettyStream(colorize: boolean, to: DestinationStream | undefined): DestinationStream {
  // Not before somebody looks.
  const { prettyFactory } = createRequire(import.meta.url)("pino-pretty") as typeof import("pino-pretty");
  const prettify = prettyFactory({
    colorize,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname",
  });
  const out = to ?? destination({ dest: 1, sync: true });
  return { write: (line) => out.write(prettify(line)) };
}
