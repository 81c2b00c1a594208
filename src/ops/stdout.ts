import { destination, type DestinationStream } from "pino";

// What may wait for a stdout that nobody reads: enough for a hiccup, bounded so that it cannot eat the memory.
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;

// A write for each line would cost half as much as the hit that it tells of. So a page of them at a time; and none waits
// longer than a person who watches would notice.
const PAGE_CHARACTERS = 32_768;
const PAGE_OPEN_MS = 100;

// What does not wait: a warning, and what is worse. The level is the first member of each line.
const MAY_WAIT = /^\{"level":"(?:info|debug|trace)"/;

/**
 * Lines of JSON to stdout, many in one write, without holding the event loop. What still waits at the end of the process
 * is written then.
 */
export function stdoutStream(): DestinationStream {
  const limits = { maxLength: MAX_WAITING_CHARACTERS, maxWrite: 2 * PAGE_CHARACTERS };
  const out = destination({ dest: 1, sync: false, ...limits });
  let page = "";
  let timer: NodeJS.Timeout | undefined;
  const turn = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (page !== "") out.write(page);
    page = "";
  };
  process.once("beforeExit", turn);
  process.once("exit", () => {
    turn();
    out.flushSync();
  });
  return {
    write: (line) => {
      page += line;
      if (page.length >= PAGE_CHARACTERS || !MAY_WAIT.test(line)) turn();
      else timer ??= setTimeout(turn, PAGE_OPEN_MS).unref();
    },
  };
}
