import type { Clock, EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";

// For a 429 that does not say how long.
const UNSAID_MS: Ms = 5_000;
// `Retry-After: 0` on a 429 still means that it was too much.
const SHORTEST_MS: Ms = 1_000;
// One wrong header must not take the mirror off upstream for a day.
const LONGEST_MS: Ms = 300_000;

/** A time in which upstream is left alone because it asked for it. */
export interface Rest {
  /** @param retryAfterMs what upstream asked for; undefined where it did not say */
  begin(retryAfterMs: Ms | undefined): void;
  /** @throws UpstreamUnavailable("rate-limited") with what is left of it, while it lasts */
  check(): void;
  /** Undefined when there is none. */
  until(): EpochMs | undefined;
}

/**
 * Keeps the rest that a 429, or a 503 with Retry-After, begins. It holds for all requests: all clients share one
 * address there (facts/pypi.md §8.24). Between 1 s and 5 min; 5 s where upstream did not say.
 */
export function createRest(clock: Clock): Rest {
  let endsAt: EpochMs = 0;
  const until = (): EpochMs | undefined => {
    const leftMs = endsAt - clock.now();
    // More than any rest is long: the clock was set back.
    return leftMs > 0 && leftMs <= LONGEST_MS ? endsAt : undefined;
  };
  return {
    begin: (retryAfterMs) => {
      const ms = Math.min(Math.max(retryAfterMs ?? UNSAID_MS, SHORTEST_MS), LONGEST_MS);
      endsAt = Math.max(until() ?? 0, clock.now() + ms);
    },
    check: () => {
      const end = until();
      if (end === undefined) return;
      const retryAfterMs = end - clock.now();
      throw new UpstreamUnavailable("rate-limited", "upstream asked to be left alone", { retryAfterMs });
    },
    until,
  };
}
