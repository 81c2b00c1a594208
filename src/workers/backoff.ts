import type { Ms } from "../clock.ts";

/** A worker that lived this long did not die of its start: the count begins again. */
const STEADY_AFTER_MS: Ms = 10_000;
const FIRST_PAUSE_MS: Ms = 250;
const MAX_PAUSE_MS: Ms = 30_000;

/** How long to wait before the next start: not at all after the first death, twice as long after each further one. */
export class Backoff {
  #deaths = 0;

  /** To be asked once for each death. @param livedMs how long the one that died had lived */
  pauseAfter(livedMs: Ms): Ms {
    this.#deaths = livedMs >= STEADY_AFTER_MS ? 1 : this.#deaths + 1;
    if (this.#deaths === 1) return 0;
    return Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#deaths - 2));
  }
}
