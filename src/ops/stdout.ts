import { destination, type DestinationStream } from "pino";
import { WHOLE_LINE_BYTES } from "./whole-line.ts";

// What may wait for a stdout that nobody reads: enough for a hiccup, bounded so that it cannot eat the memory.
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;

// A write for each line would cost half as much as the hit that it tells of. So a page of them at a time: where there are
// thousands a second, a few milliseconds are enough for many.
const PAGE_CHARACTERS = 32_768;
const PAGE_OPEN_MS = 5;

// At the end, for a stdout that nobody reads.
const WRITTEN_PATIENCE_MS = 1_000;

// What does not wait: a warning, and what is worse. The level is the first member of each line.
const MAY_WAIT = /^\{"level":"(?:info|debug|trace)"/;

export interface StdoutStream extends DestinationStream {
  /** Resolves when all that was given is written: to be awaited before `process.exit`, which waits for no write. */
  written(): Promise<void>;
}

/**
 * Lines of JSON to stdout, many in one write, without holding the event loop. What still waits at the end of the process
 * is written then.
 *
 * @param isShared whether other processes write there, too: a page is then no longer than what they cannot get into, and
 *   no line may be longer than that
 */
export function stdoutStream(isShared: boolean): StdoutStream {
  const pageCharacters = isShared ? WHOLE_LINE_BYTES : PAGE_CHARACTERS;
  // Pages that wait for one another are put together, up to so much.
  const maxWrite = isShared ? WHOLE_LINE_BYTES : 2 * PAGE_CHARACTERS;
  const out = destination({ dest: 1, sync: false, maxLength: MAX_WAITING_CHARACTERS, maxWrite });
  let page = "";
  let isWritten = true;
  let timer: NodeJS.Timeout | undefined;
  const turn = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (page === "") return;
    isWritten = false;
    out.write(page);
    page = "";
  };
  out.on("drain", () => (isWritten = true));
  process.once("beforeExit", turn);
  process.once("exit", () => {
    turn();
    out.flushSync();
  });
  return {
    write: (line) => {
      if (page.length + line.length > pageCharacters) turn();
      page += line;
      if (page.length >= pageCharacters || !MAY_WAIT.test(line)) turn();
      else timer ??= setTimeout(turn, PAGE_OPEN_MS).unref();
    },
    written: async () => {
      turn();
      if (isWritten) return;
      await new Promise<void>((resolve) => {
        out.once("drain", resolve);
        setTimeout(resolve, WRITTEN_PATIENCE_MS);
      });
    },
  };
}
