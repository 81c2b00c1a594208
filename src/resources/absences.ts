import { BoundedMap } from "../bounded-map.ts";
import type { Clock, EpochMs, Ms } from "../clock.ts";

// Names that do not exist cost memory only: as many as a lively attacker may have.
const MOST = 10_000;

/** What upstream was found not to have, by path, and is not asked for again for a while: in this process' memory alone. */
export class Absences {
  readonly #clock: Clock;
  readonly #lastsMs: Ms;
  /** Path -> since when. */
  readonly #since = new BoundedMap<string, EpochMs>(MOST);

  constructor(clock: Clock, lastsMs: Ms) {
    this.#clock = clock;
    this.#lastsMs = lastsMs;
  }

  note(path: string): void {
    this.#since.set(path, this.#clock.now());
  }

  /** How long the absence of this path is still believed; 0 for not, also where the clock was set back since. */
  leftMs(path: string): Ms {
    const sinceMs = this.#clock.now() - (this.#since.get(path) ?? Number.NEGATIVE_INFINITY);
    return sinceMs < 0 ? 0 : Math.max(0, this.#lastsMs - sinceMs);
  }
}
