import type { EpochMs } from "../clock.ts";
import type { Change, Entry, Head } from "./store.ts";

// The rules of `Store.write`, for stores that decide in this process. redis-scripts.ts says the same in Lua, and
// test/store/contract.ts holds both to it.

/**
 * May a change be applied on the head that is stored by now? It may on the very generation it was decided on (so
 * that it can lower it, knowing what it does), and wherever it teaches a newer one than is known.
 */
export function mayApply(stored: Head | undefined, change: Pick<Change, "basis" | "head">): boolean {
  const generation = stored?.generation ?? 0;
  return generation === change.basis || generation < change.head.generation;
}

/**
 * The head after a change that may be applied. Some of it only ever moves one way, whoever writes last: an
 * invalidation is never undone by work that was begun before it; and while the generation stays, what another writer
 * has confirmed of it stays confirmed, and it was first heard of when it was first heard of.
 */
export function mergeHead(stored: Head | undefined, next: Head): Head {
  if (stored === undefined) return next;
  const invalidatedAt = Math.max(stored.invalidatedAt, next.invalidatedAt);
  if (stored.generation !== next.generation) return { ...next, invalidatedAt };
  return {
    ...next,
    invalidatedAt,
    advancedAt: Math.min(stored.advancedAt, next.advancedAt),
    confirmedAt: Math.max(stored.confirmedAt, next.confirmedAt),
  };
}

/** The head after the change feed told of a newer generation; the same head where it is not newer. */
export function advanceHead(stored: Head, generation: number, at: EpochMs): Head {
  if (generation <= stored.generation) return stored;
  // Upstream has not been asked for this one yet: how long it has lagged is counted anew.
  return { ...stored, generation, advancedAt: at, lowerSince: 0 };
}

/**
 * Is a change too late, because somebody who asked upstream later has stored his answer already? Then nothing of it is
 * applied. A greater generation is never too late: it is upstream's own word that it is newer.
 */
export function isFenced(held: Entry, entry: Entry): boolean {
  return held.fence > entry.fence && held.generation >= entry.generation;
}

/**
 * Does an entry that is held stay above one that is written now? A newer generation does, if the group's head knows
 * of it still: the writer is late. A negative entry has no generation of its own (a 404 carries no serial), so it
 * stays only above what was confirmed before it.
 */
export function staysAbove(held: Entry, entry: Entry, headGeneration: number): boolean {
  if (held.generation <= entry.generation || held.generation > headGeneration) return false;
  return held.status === 200 || held.confirmedAt > entry.confirmedAt;
}
