import type { Clock, EpochMs, Ms } from "../clock.ts";

/** One forward request under way, and whether the asker joined it or started it. */
export interface Flight<T> {
  readonly result: Promise<T>;
  /** RFC 9211 §2.7: this request was collapsed with another. */
  readonly collapsed: boolean;
  readonly startedAt: EpochMs;
}

// A follower whose leader failed slowly has no patience left to give: clients leave after 10 to 15 s.
const RETRY_IF_FAILED_WITHIN_MS: Ms = 2_000;

/**
 * One forward request per key at a time (RFC 9111 §4, collapsed requests). The work belongs to nobody's socket:
 * it goes on when the client that caused it goes away. A failure reaches everyone who waits once; then one
 * follower tries again, and the others wait for that one.
 */
export class Collapse<T> {
  readonly #flights = new Map<string, { readonly result: Promise<T>; readonly startedAt: EpochMs }>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Joins the flight of this key, or starts one with `work`. */
  join(key: string, work: () => Promise<T>): Flight<T> {
    const flight = this.#flights.get(key);
    if (flight === undefined) return { ...this.#lead(key, work), collapsed: false };
    return { result: this.#follow(key, flight, work), startedAt: flight.startedAt, collapsed: true };
  }

  /** Whether this key is being forwarded. */
  isUp(key: string): boolean {
    return this.#flights.has(key);
  }

  /** Has all who come from now on for such keys start anew: what is under way answers only those who have joined it. */
  abandon(isMeant: (key: string) => boolean): void {
    for (const key of this.#flights.keys()) if (isMeant(key)) this.#flights.delete(key);
  }

  #lead(key: string, work: () => Promise<T>): { readonly result: Promise<T>; readonly startedAt: EpochMs } {
    // Released before anyone who waits hears of the end, so that a follower's second try leads a flight of its own.
    const result = work().finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    const flight = { result, startedAt: this.#clock.now() };
    this.#flights.set(key, flight);
    return flight;
  }

  async #follow(
    key: string,
    flight: { readonly result: Promise<T>; readonly startedAt: EpochMs },
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await flight.result;
    } catch (error) {
      if (this.#clock.now() - flight.startedAt > RETRY_IF_FAILED_WITHIN_MS) throw error;
      return await (this.#flights.get(key) ?? this.#lead(key, work)).result;
    }
  }
}
