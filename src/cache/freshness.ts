import type { EpochMs, Ms } from "../clock.ts";
import type { Entry, Head } from "../store/store.ts";

/** How long what may be reused. All spans; `Infinity` is a span without limit. */
export interface Lifetimes {
  /** Served without asking upstream (RFC 9111 §4.2.1). */
  readonly freshMs: Ms;
  /**
   * How long an entry may be fresh on its group's word alone: another entry of the same generation was confirmed since.
   * Beyond it, it needs a confirmation of its own, for an equal generation does not prove an equal body.
   */
  readonly ownCheckMs: Ms;
  /** After that: served at once while upstream is asked (RFC 5861 §3). */
  readonly staleWhileRevalidateMs: Ms;
  /** After becoming stale: served when upstream fails or is slow (RFC 5861 §4). */
  readonly staleIfErrorMs: Ms;
  /** A negative entry's freshness lifetime. */
  readonly negativeMs: Ms;
  /** A request's `no-cache` validates only what is older than this. */
  readonly noCacheAfterMs: Ms;
}

/**
 * What the change feed of upstream says of a group's entries: as of when each change of the group has been heard of.
 * All instants of one clock.
 */
export interface FeedWord {
  /** The instant of the last poll that came to the feed's end. */
  readonly asOf: EpochMs;
  /** Since when it has been followed without a gap. */
  readonly followedSince: EpochMs;
  /** How long an entry may be fresh on the feed's word: some changes are in no feed (facts/pypi.md §5). */
  readonly ownCheckMs: Ms;
}

/**
 * What may be done with a stored response now.
 * - `fresh`: serve it
 * - `stale-while-revalidate`: serve it and validate behind
 * - `validate`: ask upstream first
 */
export type Reuse = "fresh" | "stale-while-revalidate" | "validate";

// An entry of an older generation, confirmed since the newer one was heard of, is the best that upstream has to
// give just now: a CDN node that lags. Asked again in a few seconds, not on each request (facts/pypi.md, trap 6).
const LAGGING_FRESH_MS: Ms = 5_000;

// For 300 s after a change PyPI's CDN may still serve what was before it (facts/pypi.md §4.6), and a purge travels.
// What was confirmed sooner after the newest that is known may lack a change that the feed told of already.
const SETTLED_AFTER_MS: Ms = 360_000;

// A clock that was set back makes entries come from the future; beyond this they are not believed to be fresh.
const CLOCK_SKEW_MS: Ms = 60_000;

/** RFC 9111 §4.2.3, counted from the last confirmation; never negative. */
export function ageMs(entry: Entry, now: EpochMs): Ms {
  return Math.max(0, now - entry.confirmedAt);
}

/** Whether this entry says that there is no such resource (RFC 2308's word). */
export function isNegative(entry: Entry): boolean {
  return entry.status !== 200;
}

/** Whether something newer was heard of the group since this entry was confirmed: it must be validated at once. */
export function isSuperseded(entry: Entry, head: Head, now: EpochMs): boolean {
  if (entry.confirmedAt < believed(head.invalidatedAt, now)) return true;
  return entry.generation < head.generation && entry.confirmedAt <= believed(head.advancedAt, now);
}

/** An instant that a clock wrote which has been set back since would hold for as long as it was ahead. */
function believed(instant: EpochMs, now: EpochMs): EpochMs {
  return instant - now > CLOCK_SKEW_MS ? 0 : instant;
}

/**
 * The freshness left (RFC 9111 §4.2), negative once stale: for `max-age` and RFC 9211 `ttl`. Computed on reading,
 * so that another lifetime in the config takes effect on what is stored already.
 */
export function remainingMs(
  entry: Entry,
  head: Head,
  lifetimes: Lifetimes,
  now: EpochMs,
  feed?: FeedWord,
): Ms {
  if (entry.confirmedAt - now > CLOCK_SKEW_MS) return 0;
  const ownMs = freshnessLifetimeMs(entry, head, lifetimes) - ageMs(entry, now);
  if (isSuperseded(entry, head, now)) return Math.min(ownMs, 0);
  const byGroupMs = remainingByGroupMs(entry, head, lifetimes, now);
  return Math.max(ownMs, byGroupMs, remainingByFeedMs(entry, head, lifetimes, now, feed));
}

/**
 * As of when the entry is known to be upstream's current answer: when upstream itself last said so, or the last poll
 * of a feed that vouches for it.
 */
export function currentAsOf(entry: Entry, head: Head, now: EpochMs, feed: FeedWord | undefined): EpochMs {
  if (feed === undefined || !isVouchedFor(entry, head, now, feed)) return entry.confirmedAt;
  return Math.max(entry.confirmedAt, believed(feed.asOf, now));
}

/** Whether the feed would have told of a change of this entry since it was confirmed. */
function isVouchedFor(entry: Entry, head: Head, now: EpochMs, feed: FeedWord): boolean {
  // A 404 carries no serial: upstream's edge may have kept it from before the change (facts/pypi.md, trap 11).
  if (isNegative(entry) || entry.generation === 0 || entry.generation !== head.generation) return false;
  if (isSuperseded(entry, head, now)) return false;
  return entry.confirmedAt - Math.max(head.advancedAt, feed.followedSince) >= SETTLED_AFTER_MS;
}

/** The freshness that the change feed lends. */
function remainingByFeedMs(
  entry: Entry,
  head: Head,
  lifetimes: Lifetimes,
  now: EpochMs,
  feed: FeedWord | undefined,
): Ms {
  if (feed === undefined || !isVouchedFor(entry, head, now, feed)) return -Infinity;
  const sincePollMs = Math.max(0, now - believed(feed.asOf, now));
  return Math.min(lifetimes.freshMs - sincePollMs, feed.ownCheckMs - ageMs(entry, now));
}

/** The freshness that another entry's confirmation lends. Without generations a group's word says nothing of its entries. */
function remainingByGroupMs(entry: Entry, head: Head, lifetimes: Lifetimes, now: EpochMs): Ms {
  if (isNegative(entry) || entry.generation === 0 || entry.generation !== head.generation) return -Infinity;
  const byGroupMs = lifetimes.freshMs - (now - head.confirmedAt);
  return Math.min(byGroupMs, lifetimes.ownCheckMs - ageMs(entry, now));
}

/** The decision of a lookup that found something. `noCache`: the request asks for validation (RFC 9111 §5.2.1.4). */
export function reuse(
  entry: Entry,
  head: Head,
  lifetimes: Lifetimes,
  now: EpochMs,
  noCache: boolean,
  feed?: FeedWord,
): Reuse {
  const leftMs = remainingMs(entry, head, lifetimes, now, feed);
  if (leftMs > 0) return noCache && ageMs(entry, now) > lifetimes.noCacheAfterMs ? "validate" : "fresh";
  // What is known to be outdated waits for upstream: only what may still be true goes out at once.
  if (noCache || isNegative(entry) || isSuperseded(entry, head, now)) return "validate";
  return -leftMs < lifetimes.staleWhileRevalidateMs ? "stale-while-revalidate" : "validate";
}

/** Whether the entry may stand in when upstream fails or is slow. Never a 404: that would turn an outage into one. */
export function mayServeStale(
  entry: Entry,
  head: Head,
  lifetimes: Lifetimes,
  now: EpochMs,
  feed?: FeedWord,
): boolean {
  if (isNegative(entry)) return remainingMs(entry, head, lifetimes, now) > 0;
  // All of the group was said to be gone, and nothing of it has been seen since: a 404 is the truth.
  if (entry.confirmedAt < head.invalidatedAt && head.confirmedAt < head.invalidatedAt) return false;
  return now - currentAsOf(entry, head, now, feed) - lifetimes.freshMs <= lifetimes.staleIfErrorMs;
}

function freshnessLifetimeMs(entry: Entry, head: Head, lifetimes: Lifetimes): Ms {
  const ownMs = isNegative(entry) ? lifetimes.negativeMs : lifetimes.freshMs;
  if (entry.generation >= head.generation && !isAbsentBeforeShown(entry, head)) return ownMs;
  // For about as long again as it has lagged: an edge may do so for a day, whoever asks (facts/pypi.md §5), and is
  // then asked a few times more than not at all, not every few seconds.
  return Math.min(ownMs, Math.max(LAGGING_FRESH_MS, entry.confirmedAt - head.advancedAt));
}

/**
 * Whether the entry is a 404 of after a change that the feed told of, of which upstream has shown nothing yet: its edge
 * keeps a 404 for a minute and purges none (facts/pypi.md, trap 11).
 */
function isAbsentBeforeShown(entry: Entry, head: Head): boolean {
  return isNegative(entry) && head.confirmedAt < head.advancedAt;
}
