import type { Clock, EpochMs, Ms } from "../../src/clock.ts";

interface Timer {
  readonly at: EpochMs;
  readonly delayMs: Ms;
  readonly then: () => void;
}

interface Watcher {
  readonly holds: () => boolean;
  readonly resolve: () => void;
}

/** A clock that only the test moves, so that no test sleeps. It stands still until `advance`. */
export class TestClock implements Clock {
  #now: EpochMs;
  readonly #timers = new Set<Timer>();
  readonly #watchers = new Set<Watcher>();

  constructor(startAt: EpochMs = Date.UTC(2026, 0, 1)) {
    this.#now = startAt;
  }

  now(): EpochMs {
    return this.#now;
  }

  after(delayMs: Ms, then: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), delayMs, then };
    this.#timers.add(timer);
    this.#tellWatchers();
    return () => {
      if (this.#timers.delete(timer)) this.#tellWatchers();
    };
  }

  /**
   * Moves time on and fires what falls due, in order, each at its own instant; timers set meanwhile that fall due
   * within the span fire too. Promises settled by them continue only after this returns.
   */
  advance(byMs: Ms): void {
    const until = this.#now + byMs;
    for (let timer = this.#nextDue(until); timer !== undefined; timer = this.#nextDue(until)) {
      this.#now = timer.at;
      this.#timers.delete(timer);
      timer.then();
    }
    this.#now = until;
    this.#tellWatchers();
  }

  /** The delays of the timers that are set now, soonest first. */
  get pending(): readonly Ms[] {
    return this.#inOrder().map((timer) => timer.delayMs);
  }

  /** Resolves as soon as at least `count` timers are set. */
  untilPending(count: number): Promise<void> {
    return this.#until(() => this.#timers.size >= count);
  }

  /** Resolves as soon as a timer that was set with exactly this delay is pending. */
  untilTimer(delayMs: Ms): Promise<void> {
    return this.#until(() => [...this.#timers].some((timer) => timer.delayMs === delayMs));
  }

  #inOrder(): Timer[] {
    // Sorting is stable: of two timers for one instant, the one set first fires first.
    return [...this.#timers].sort((a, b) => a.at - b.at);
  }

  #nextDue(until: EpochMs): Timer | undefined {
    const [first] = this.#inOrder();
    return first !== undefined && first.at <= until ? first : undefined;
  }

  #until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.add({ holds, resolve }));
  }

  #tellWatchers(): void {
    for (const watcher of this.#watchers) {
      if (!watcher.holds()) continue;
      this.#watchers.delete(watcher);
      watcher.resolve();
    }
  }
}
