import type { EpochMs, Ms } from "../clock.ts";
import {
  BREAKER,
  type LimiterState,
  LONGEST_REST_MS,
  type Limits,
  type PassEnd,
  PROBE_MS,
  restMs,
} from "./limiter.ts";

// The rules of `Limiter`, where they are decided in this process. redis-scripts.ts says the same in Lua, and
// test/fleet/limiter.test.ts holds one to the other.

/** What is remembered of one upstream. */
export interface LimiterRecord {
  /** Id -> when its place is free again by itself, its holder having died. */
  readonly places: Map<string, EpochMs>;
  /** Tokens in the bucket, as of `refilledAt`. */
  tokens: number;
  refilledAt: EpochMs;
  restUntil: EpochMs;
  /** Failures in a row. */
  failures: number;
  /** How often the breaker has opened since it was last closed; 0 while it is closed. */
  openings: number;
  openUntil: EpochMs;
  /** Who probes, while it is half-open. */
  probe: string | undefined;
  probeUntil: EpochMs;
}

/** What of a record tells how upstream is doing. */
export type RestAndBreaker = Readonly<Pick<LimiterRecord, "restUntil" | "openings" | "openUntil">>;

/** What `admit` decides. */
export type Admission =
  | { readonly kind: "admitted" }
  /** No place, or no token: to be asked again after so long, or when a place is free. */
  | { readonly kind: "wait"; readonly ms: Ms }
  | { readonly kind: "rate-limited" | "breaker"; readonly leftMs: Ms };

/** When to ask again for a place, where nobody says that one is free. */
export const PLACE_WAIT_MS: Ms = 50;

export function newRecord(limits: Limits, now: EpochMs): LimiterRecord {
  return {
    places: new Map(),
    tokens: limits.burst,
    refilledAt: now,
    restUntil: 0,
    failures: 0,
    openings: 0,
    openUntil: 0,
    probe: undefined,
    probeUntil: 0,
  };
}

/** Decides on one request, and takes its place and its token if it may go. */
export function admit(
  record: LimiterRecord,
  id: string,
  placeMs: Ms,
  limits: Limits,
  now: EpochMs,
): Admission {
  const restLeftMs = leftMs(record.restUntil, now, LONGEST_REST_MS);
  if (restLeftMs > 0) return { kind: "rate-limited", leftMs: restLeftMs };
  if (record.openings > 0) {
    const openLeftMs = leftMs(record.openUntil, now, BREAKER.longestOpenMs);
    if (openLeftMs > 0) return { kind: "breaker", leftMs: openLeftMs };
    if (isProbed(record, now)) return { kind: "breaker", leftMs: BREAKER.openMs };
  }
  for (const [other, until] of record.places)
    if (leftMs(until, now, placeMs) === 0) record.places.delete(other);
  if (record.places.size >= limits.places) return { kind: "wait", ms: PLACE_WAIT_MS };
  refill(record, limits, now);
  if (record.tokens < 1)
    return { kind: "wait", ms: Math.ceil(((1 - record.tokens) * 1_000) / limits.perSecond) };
  record.tokens -= 1;
  record.places.set(id, now + placeMs);
  if (record.openings > 0) {
    record.probe = id;
    record.probeUntil = now + PROBE_MS;
  }
  return { kind: "admitted" };
}

/** How upstream is doing, as far as this is known. */
export function stateOf({ restUntil, openings, openUntil }: RestAndBreaker, now: EpochMs): LimiterState {
  const isResting = leftMs(restUntil, now, LONGEST_REST_MS) > 0;
  const breaker = openings === 0 ? "closed" : openUntil > now ? "open" : "half-open";
  return { pausedUntil: isResting ? restUntil : undefined, breaker };
}

/** Whether there is a probe under way. One whose place is free by itself has died. */
function isProbed({ probe, probeUntil, places }: LimiterRecord, now: EpochMs): boolean {
  return probe !== undefined && (places.get(probe) ?? 0) > now && leftMs(probeUntil, now, PROBE_MS) > 0;
}

/** What is left of a span that is never longer than so: if more is left, the clock was set back. */
export function leftMs(until: EpochMs, now: EpochMs, longestMs: Ms): Ms {
  const left = until - now;
  return left > longestMs ? 0 : Math.max(0, left);
}

/** Takes note of how a request ended. */
export function leave(record: LimiterRecord, id: string, end: PassEnd, now: EpochMs): void {
  record.places.delete(id);
  const isProbe = record.probe === id;
  if (isProbe) record.probe = undefined;
  if (end.kind === "rate-limited")
    record.restUntil = Math.max(record.restUntil, now + restMs(end.retryAfterMs));
  if (end.kind === "neither") return;
  if (end.kind !== "failed") {
    // What was asked before it opened says nothing of now: only a probe closes it.
    if (record.openings > 0 && !isProbe) return;
    record.failures = 0;
    record.openings = 0;
    record.openUntil = 0;
    return;
  }
  record.failures += 1;
  const opens = isProbe || (record.openings === 0 && record.failures >= BREAKER.failures);
  if (!opens) return;
  record.openUntil = now + Math.min(BREAKER.openMs * 2 ** record.openings, BREAKER.longestOpenMs);
  // Bounded, so that the power above stays a number.
  record.openings = Math.min(record.openings + 1, 16);
}

/** Takes note that upstream asked to be left alone, in answer to a request that has no place here. */
export function rest(record: LimiterRecord, retryAfterMs: Ms | undefined, now: EpochMs): void {
  leave(record, NO_PASS, { kind: "rate-limited", retryAfterMs }, now);
}

/** The id of no pass. */
export const NO_PASS = "none";

function refill(record: LimiterRecord, { perSecond, burst }: Limits, now: EpochMs): void {
  // A clock that was set back refills nothing.
  const sinceMs = Math.max(0, now - record.refilledAt);
  record.refilledAt = now;
  record.tokens =
    perSecond === Number.POSITIVE_INFINITY
      ? burst
      : Math.min(burst, record.tokens + (sinceMs * perSecond) / 1_000);
}
