import type { EpochMs } from "../clock.ts";

/** What one node tells the others. News may be lost: whoever relies on them must be right without, only later. */
export type NewsItem =
  /** An answer of upstream changed what the store holds of a group: what memory holds of it is to be read again. */
  | { readonly kind: "changed"; readonly group: string }
  /** An operator has purged a group: whatever was confirmed before is to be asked for again. */
  | { readonly kind: "purged"; readonly group: string; readonly at: EpochMs }
  /** A client was shown something that tells of every group, as of this instant: see `Cache.confirmSince`. */
  | { readonly kind: "listed"; readonly at: EpochMs }
  /** The change feed's position has moved. */
  | { readonly kind: "feed" };

/** News between the nodes of a fleet. Never rejects, and loses what cannot be told. */
export interface News {
  /** Tells all other nodes. */
  publish(item: NewsItem): void;
  /** @returns how to hear no more */
  subscribe(listener: (item: NewsItem) => void): () => void;
}
