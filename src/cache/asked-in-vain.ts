import { BoundedMap } from "../bounded-map.ts";
import type { Clock, EpochMs, Ms } from "../clock.ts";

// A client that installs sixty packages must not wait out its patience for each request of each.
const FOR_MS: Ms = 5_000;
const MOST = 10_000;

/** What upstream was asked for in vain a moment ago: what is held of it goes out meanwhile without asking again. */
export class AskedInVain {
  readonly #clock: Clock;
  /** Key -> when. */
  readonly #at = new BoundedMap<string, EpochMs>(MOST);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Not of an instant that is yet to come, either: a clock that was set back must not silence the asking for as long. */
  has(key: string): boolean {
    const at = this.#at.get(key);
    const now = this.#clock.now();
    return at !== undefined && now >= at && now - at < FOR_MS;
  }

  note(key: string): void {
    this.#at.set(key, this.#clock.now());
  }

  forget(key: string): void {
    this.#at.delete(key);
  }

  forgetAll(isMeant: (key: string) => boolean): void {
    for (const key of this.#at.keys()) if (isMeant(key)) this.#at.delete(key);
  }
}
