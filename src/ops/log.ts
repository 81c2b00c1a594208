import { destination, pino, stdTimeFunctions, type DestinationStream, type Level, type Logger } from "pino";
import pretty from "pino-pretty";
import { redactJsonLine } from "../redact.ts";
import { WHOLE_LINE_BYTES, wholeLine } from "./whole-line.ts";

export type Log = Logger;

/** How to log. */
export interface LogOptions {
  readonly level: Level | "silent";
  /** `auto` is pretty on a terminal, else JSON. */
  readonly format: "auto" | "json" | "pretty";
  /**
   * Whether people look at it as it is written. By node:tty's `isatty`: to touch `process.stdout` (to import
   * `node:process` does) makes a pipe non-blocking, for all who share it, and what the log is just trying again is
   * lost at the end then.
   */
  readonly isTerminal: boolean;
  /** Where lines go; stdout where absent. */
  readonly to?: DestinationStream;
  /** Whether other processes write to the same stdout: then no line may be so long that theirs get into it. */
  readonly isShared?: boolean;
  /** The number of the worker whose lines these are. */
  readonly worker?: number;
}

// What may wait for a stdout that nobody reads: enough for a hiccup, bounded so that it cannot eat the memory.
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;

/**
 * Makes the logger: one line of JSON for each event, or on a terminal one that people can read.
 * Credentials are masked in every line, in its message, its members at any depth, and its errors' stacks.
 * JSON is written without holding the event loop; what still waits at the end of the process is flushed then.
 */
export function createLog({ level, format, isTerminal, to, isShared = false, worker }: LogOptions): Log {
  const isPretty = format === "pretty" || (format === "auto" && isTerminal);
  const log = pino(
    {
      level,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: isShared ? (line) => wholeLine(redactJsonLine(line)) : redactJsonLine },
    },
    isPretty ? prettyStream(isTerminal, to) : (to ?? stdoutStream(isShared)),
  );
  return worker === undefined ? log : log.child({ worker });
}

function stdoutStream(isShared: boolean): DestinationStream {
  const writes = isShared ? { maxWrite: WHOLE_LINE_BYTES } : {};
  return destination({ dest: 1, sync: false, maxLength: MAX_WAITING_CHARACTERS, ...writes });
}

/** Made for the eye, in this thread and at once: a worker thread would lose the last lines before a crash. */
function prettyStream(colorize: boolean, to: DestinationStream | undefined): DestinationStream {
  const prettify = pretty.prettyFactory({
    colorize,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname",
  });
  const out = to ?? destination({ dest: 1, sync: true });
  return { write: (line) => out.write(prettify(line)) };
}
