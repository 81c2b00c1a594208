import type { EpochMs, Ms } from "../clock.ts";

/** What all nodes together may ask of one upstream. */
export interface Limits {
  /** Most requests under way at a time. */
  readonly places: number;
  /** Requests a second, over time; Infinity for no such bound. */
  readonly perSecond: number;
  /** So many may follow one another at once before `perSecond` holds them back. */
  readonly burst: number;
}

/** How a request upstream ended, for those who come after it. */
export type PassEnd =
  /** Upstream answered, if only that there is no such thing. */
  | { readonly kind: "answered" }
  /** Upstream is not there, is too slow, or is broken: the breaker counts it. */
  | { readonly kind: "failed" }
  /** Says nothing of upstream's health: a document that makes no sense, a client of ours that gave up. */
  | { readonly kind: "neither" }
  /** Upstream asked to be left alone; undefined where it did not say for how long. */
  | { readonly kind: "rate-limited"; readonly retryAfterMs: Ms | undefined };

/** Leave to send one request. */
export interface Pass {
  /** Must be called once, when the answer is whole or has failed. */
  end(end: PassEnd): void;
}

/** What is known of an upstream's wishes and health; see /readyz. */
export interface LimiterState {
  /** Until when nothing is asked because upstream wants to be left alone; undefined when it does not. */
  readonly pausedUntil: EpochMs | undefined;
  readonly breaker: "closed" | "open" | "half-open";
}

/**
 * How upstream is treated, by all nodes as if they were one: a bound on the requests under way, a token bucket, a rest
 * when upstream asks for it (RFC 9110 §10.2.3), and a circuit breaker that lets one probe through when it is half-open.
 */
export interface Limiter {
  /**
   * Waits for leave to send a request.
   * @param patienceMs longest wait for a place and a token
   * @throws UpstreamUnavailable: rate-limited or breaker at once, busy when patience is over
   */
  enter(patienceMs: Ms): Promise<Pass>;
  /** Upstream asked to be left alone, but not in answer to a request that was entered here. */
  rest(retryAfterMs: Ms | undefined): void;
  /** As far as this node knows. */
  state(): LimiterState;
}

/**
 * A holder that died, or never learned of its pass, loses its place after this; a live one renews it three times as often.
 * Where several processes share one limiter.
 */
export const PLACE_MS: Ms = 15_000;

/** For a 429 that does not say how long. */
const UNSAID_REST_MS: Ms = 5_000;
/** `Retry-After: 0` on a 429 still means that it was too much. */
const SHORTEST_REST_MS: Ms = 1_000;
/** One wrong header must not take larder off upstream for a day. */
export const LONGEST_REST_MS: Ms = 300_000;

/** How long upstream is left alone for what it asked, or did not say. */
export function restMs(retryAfterMs: Ms | undefined): Ms {
  return Math.min(Math.max(retryAfterMs ?? UNSAID_REST_MS, SHORTEST_REST_MS), LONGEST_REST_MS);
}

/**
 * The breaker: so many failures in a row open it, whichever requests they were of; an open one lets a single probe
 * through after `openMs`, and after each probe that fails after twice as long, up to `longestOpenMs`.
 * More failures than one bad document makes by its retries; the open time is short, for a link that flickers.
 */
export const BREAKER = { failures: 12, openMs: 1_000, longestOpenMs: 30_000 } as const;
/** A probe that has not ended after so long is taken for lost. Longer than any request upstream may last. */
export const PROBE_MS: Ms = 60_000;
