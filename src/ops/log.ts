import { destination, pino, stdTimeFunctions, type DestinationStream, type Level, type Logger } from "pino";
import pretty from "pino-pretty";
import { redactJsonLine } from "../redact.ts";

export type Log = Logger;

/** How to log. */
export interface LogOptions {
  readonly level: Level | "silent";
  /** `auto` is pretty on a terminal, else JSON. */
  readonly format: "auto" | "json" | "pretty";
  /** Whether people look at it as it is written. */
  readonly isTerminal: boolean;
  /** Where lines go; stdout where absent. */
  readonly to?: DestinationStream;
}

// What may wait for a stdout that nobody reads: enough for a hiccup, bounded so that it cannot eat the memory.
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;

/**
 * Makes the logger: one line of JSON for each event, or on a terminal one that people can read.
 * Credentials are masked in every line, in its message, its members at any depth, and its errors' stacks.
 * JSON is written without holding the event loop; what still waits at the end of the process is flushed then.
 */
export function createLog({ level, format, isTerminal, to }: LogOptions): Log {
  const isPretty = format === "pretty" || (format === "auto" && isTerminal);
  return pino(
    {
      level,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redactJsonLine },
    },
    isPretty ? prettyStream(isTerminal, to) : (to ?? stdoutStream()),
  );
}

function stdoutStream(): DestinationStream {
  return destination({ dest: 1, sync: false, maxLength: MAX_WAITING_CHARACTERS });
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
