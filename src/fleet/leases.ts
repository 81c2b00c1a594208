import type { Ms } from "../clock.ts";

/** A claim on a key that is one node's alone, for a time (a process' own where no others are). */
export interface Lease {
  readonly kind: "held";
  readonly key: string;
  /**
   * Fencing token: greater than that of every earlier lease of the key, as long as clocks do not go back. Microseconds
   * since the epoch, so that what was asked for later has the greater token wherever it was asked for.
   */
  readonly token: number;
  /** Puts the end off, to its full length from now. @returns false when it is lost: somebody else may have it */
  renew(): Promise<boolean>;
  /** Gives it back, with a word for those who wait. Never rejects: what cannot be given back ends by itself. */
  release(word: string): Promise<void>;
}

/** Somebody else has the lease. */
export interface Taken {
  readonly kind: "taken";
  readonly key: string;
  readonly token: number;
}

/**
 * How a lease that somebody else had came to its end, for who waited.
 * - `released`, with the holder's word
 * - `lost`: the holder let it run out (killed, paused, cut off)
 * - `late`: it has not ended within the time that the waiter had
 */
export type LeaseEnd =
  | { readonly kind: "released"; readonly word: string }
  | { readonly kind: "lost" }
  | { readonly kind: "late" };

/**
 * Leases of a fleet: by Redis, by the primary of one machine's workers, or in this process alone.
 *
 * Nothing here rejects. Where the leases themselves are in trouble, each node goes on alone: `acquire` gives a lease
 * that excludes nobody but this process.
 */
export interface Leases {
  /**
   * Takes the lease of a key, or tells that it is taken.
   * @param lengthMs when it ends by itself, unless it is renewed
   */
  acquire(key: string, lengthMs: Ms): Promise<Lease | Taken>;
  /** Waits for the end of a lease that somebody else has, at most so long. */
  ended(taken: Taken, waitMs: Ms): Promise<LeaseEnd>;
}
