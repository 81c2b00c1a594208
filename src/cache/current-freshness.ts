import type { Clock, EpochMs, Ms } from "../clock.ts";
import type { Resource } from "./fill.ts";
import {
  currentAsOf,
  type FeedWord,
  type Lifetimes,
  mayServeStale,
  remainingMs,
  type Reuse,
  reuse,
} from "./freshness.ts";
import type { HeldWithHead } from "./memory.ts";

/** See CacheOptions. */
export interface CurrentFreshnessOptions {
  readonly clock: Clock;
  readonly lifetimes: Lifetimes;
  readonly feed?: (group: string) => FeedWord | undefined;
}

/**
 * What of that which is held may be served now (RFC 9111 §4): the rules of freshness.ts with the present instant, the
 * resource's own lifetime, what the change feed says, and what has been shown that tells of every group.
 */
export class CurrentFreshness {
  readonly #options: CurrentFreshnessOptions;
  #confirmedSince: EpochMs = 0;

  constructor(options: CurrentFreshnessOptions) {
    this.#options = options;
  }

  /**
   * What was confirmed before this instant is validated from now on.
   * @returns whether that is later than was known
   */
  confirmSince(at: EpochMs): boolean {
    const since = Math.min(at, this.#options.clock.now());
    if (since <= this.#confirmedSince) return false;
    this.#confirmedSince = since;
    return true;
  }

  /** Whether it is served as it is, served while it is validated behind, or validated first. */
  decide(resource: Resource, found: HeldWithHead, noCache: boolean): Reuse {
    return this.#decide(resource, found, noCache, this.#feed(resource));
  }

  /** Whether what another node has stored is fresh: by its own lifetime alone, for the feed may be behind it. */
  isFresh(resource: Resource, stored: HeldWithHead, noCache: boolean): boolean {
    return this.#decide(resource, stored, noCache, undefined) === "fresh";
  }

  /** Freshness left; negative once stale. */
  remainingMs(resource: Resource, { held, head }: HeldWithHead): Ms {
    const { clock } = this.#options;
    return remainingMs(held.entry, head, this.#lifetimesOf(resource), clock.now(), this.#feed(resource));
  }

  /** Whether it is stale on arrival, as from an upstream that is itself a cache: to ask again would bring nothing else. */
  isStaleOnArrival(resource: Resource, found: HeldWithHead): boolean {
    const isStale = this.remainingMs(resource, found) <= 0 || this.#isOutdone(resource, found);
    return this.#lifetimesOf(resource).freshMs > 0 && isStale;
  }

  /** Whether it may stand in where upstream gives no answer (RFC 5861 §4). */
  mayServeStale(resource: Resource, { held, head }: HeldWithHead): boolean {
    const { clock } = this.#options;
    return mayServeStale(held.entry, head, this.#lifetimesOf(resource), clock.now(), this.#feed(resource));
  }

  #decide(resource: Resource, found: HeldWithHead, noCache: boolean, feed: FeedWord | undefined): Reuse {
    if (this.#isOutdone(resource, found, feed)) return "validate";
    const { held, head } = found;
    const now = this.#options.clock.now();
    return reuse(held.entry, head, this.#lifetimesOf(resource), now, noCache, feed);
  }

  /** Whether something that tells of every group has been shown since it was known to be current. */
  #isOutdone(
    resource: Resource,
    { held: { entry }, head }: HeldWithHead,
    feed = this.#feed(resource),
  ): boolean {
    if (entry.generation === 0) return false;
    return currentAsOf(entry, head, this.#options.clock.now(), feed) < this.#confirmedSince;
  }

  #feed({ group }: Resource): FeedWord | undefined {
    return this.#options.feed?.(group);
  }

  #lifetimesOf({ freshMs }: Resource): Lifetimes {
    const { lifetimes } = this.#options;
    return freshMs === undefined ? lifetimes : { ...lifetimes, freshMs };
  }
}
