import type { EpochMs } from "../clock.ts";

/** A value that is there now (an embedded store, no turn of the loop) or soon (a remote one). */
export type Awaitable<T> = T | Promise<T>;

/** The content coding of stored bytes (RFC 9110 §8.4.1). */
export type Coding = "gzip" | "identity";

/**
 * A stored response (RFC 9111 §2) without its body. An entry belongs to a group (for larder: a project) and has
 * the group's generation at the time it was fetched (for larder: `last_serial`; 0 where upstream tells none).
 * So an entry is found by group, name and generation. No lifetime is stored: freshness is computed when read.
 */
export interface Entry {
  readonly group: string;
  /** Which resource of the group: its cache key within the group. */
  readonly name: string;
  readonly generation: number;
  /** 404 and 410 are negative entries: no body. */
  readonly status: 200 | 404 | 410;
  /** When the body came. */
  readonly fetchedAt: EpochMs;
  /** When upstream last said that this is its current answer: with the body, or with a 304 since. */
  readonly confirmedAt: EpochMs;
  /** Upstream's validator for the bytes as stored, quotes included; to be sent back as If-None-Match. */
  readonly etag: string | undefined;
  /** Upstream's own `Date` of the answer that confirmed it (RFC 9111 §4.3.4), an HTTP-date. */
  readonly date: string;
  /** As sent; "" for a negative entry. */
  readonly contentType: string;
  /** Coding of the stored body. */
  readonly coding: Coding;
  /** Hex SHA-256 of the stored body, coding and all; "" for a negative entry. The body's address. */
  readonly digest: string;
  /** Length of the stored body. */
  readonly bytes: number;
  /** Another name of the same group that holds the body: this entry has none of its own. */
  readonly aliasOf: string | undefined;
  /**
   * Fencing token of the lease under which upstream was asked (see `Lease.token`): the greater was asked for later.
   * 0 where it was stored by a larder that had none.
   */
  readonly fence: number;
}

/** What is known of a group as a whole. */
export interface Head {
  /** The newest generation that any answer of the group had. */
  readonly generation: number;
  /** When that generation was first heard of: what was confirmed before and is older must be validated. */
  readonly advancedAt: EpochMs;
  /** When upstream last confirmed the newest generation that it has shown; the change feed may tell of a newer one. */
  readonly confirmedAt: EpochMs;
  /** Entries confirmed before this instant must be validated, whatever their generation; 0 for none. */
  readonly invalidatedAt: EpochMs;
  /** Since when upstream has been answering with a lower generation than ours, without a break; 0 for not. */
  readonly lowerSince: EpochMs;
}

/** How far the change feed of upstream has been followed: one for the whole store, whoever follows. */
export interface FeedPosition {
  /** Every change up to this serial has been applied. */
  readonly serial: number;
  /** As of when nothing is missing: the instant of the last poll that came to the feed's end. */
  readonly asOf: EpochMs;
  /** Since when it has been followed without a gap. */
  readonly followedSince: EpochMs;
  /** Fencing token of the lease under which it was followed (see `Lease.token`). */
  readonly fence: number;
}

/** What a store holds for one name: the group's head, and the entry of the newest generation held. */
export interface Found {
  readonly head: Head | undefined;
  readonly entry: Entry | undefined;
}

/** The answer of a store that cannot be asked: as if it held nothing. */
export const SILENT: Found = { head: undefined, entry: undefined };

/** One change of a group, applied whole or not at all. */
export interface Change {
  readonly group: string;
  readonly head: Head;
  /**
   * The generation of the head on which this change was decided (0 for no head). The change is refused if the
   * stored head's generation is by now neither this one nor lower than the new one: someone learned newer. It is
   * refused, too, if the entry that is held has a greater fence and no lower generation: someone asked later.
   */
  readonly basis: number;
  /** To be stored, or to replace the entry of the same group, name and generation. */
  readonly entry?: Entry;
  /** The entry's body. Absent: only the entry is written (a 304), and the body held for its digest stays. */
  readonly body?: Buffer;
}

/**
 * How a write ended. `refused`: by its basis or its fence, and nothing has been written. `failed`: the store is in trouble, which
 * its guard survived; what has been written is not known.
 */
export type Written = "written" | "refused" | "failed";

export interface StoreSize {
  readonly entries: number;
  /** Bytes of the bodies, as stored. */
  readonly bytes: number;
}

/**
 * Where entries live. Bodies are stored as handed over, byte for byte (they are compressed already).
 * Every method throws on trouble; what a broken store means is the caller's decision.
 */
export interface Store {
  /** The head and the newest entry, in one look. */
  read(group: string, name: string): Awaitable<Found>;
  /**
   * The body of an entry that was read.
   * @returns undefined when it is gone (evicted under its entry): to be treated as a miss.
   */
  readBody(entry: Entry): Awaitable<Buffer | undefined>;
  /** Applies a change and drops older generations of the same name. */
  write(change: Change): Awaitable<Written>;
  /** Says that these, some hundreds at most, were used from a tier above, so that eviction by least recent use stays true. */
  touch(entries: Iterable<{ readonly group: string; readonly name: string }>): Awaitable<void>;
  /** Forgets a group: its head and everything under it. */
  remove(group: string): Awaitable<void>;
  /**
   * The change feed told of newer generations: raises the heads of those groups of which anything is held, each for
   * itself, as heard of at `at`. Of all others nothing is kept. Any number of groups, a bounded part in each turn.
   */
  advance(groups: ReadonlyMap<string, number>, at: EpochMs): Awaitable<void>;
  /** How far the change feed has been followed; undefined where it has not been. */
  readFeed(): Awaitable<FeedPosition | undefined>;
  /** Refused where the stored position has a greater fence: somebody else has taken over since. */
  writeFeed(position: FeedPosition): Awaitable<Written>;
  size(): Awaitable<StoreSize>;
  close(): Awaitable<void>;
}
