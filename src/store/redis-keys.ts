// The store's keys in Redis; what a fleet shares beside them is in fleet/redis-scripts.ts, and larder touches nothing else.
// `1` is the version of the layout. The braces make one hash tag of a group, so that all its keys are in one slot of a
// Cluster. No group has a brace in it: it is a normalized project name, `[a-z0-9-]+`, or a path. A name may hold anything
// and comes last, so that no two pairs can give one key.
//
//   larder:1:{<group>}:head      HASH  the head: `generation`, `advancedAt`, `confirmedAt`, `invalidatedAt`,
//                                      `lowerSince`
//   larder:1:{<group>}:names     SET   the names under which the group has entries. An entry whose name is not in
//                                      it does not count: so that removing a group needs no SCAN, and an index that
//                                      was evicted above its entries is a miss
//   larder:1:{<group>}:e:<name>  HASH  `<generation>`: the entry as JSON; `<generation>:body`: its body's bytes
//   larder:1:feed                HASH  how far the change feed has been followed: `serial`, `asOf`,
//                                      `followedSince`, `fence`
//
// Each has an expiry, so that nothing is immortal and the `volatile-*` policies may evict it.

/** Where a group's head and the index of its names are. */
export interface GroupKeys {
  readonly head: string;
  readonly names: string;
}

/** The key of the change feed's position. */
export const FEED_KEY = "larder:1:feed";

/** The keys of a group as a whole. */
export function groupKeys(group: string): GroupKeys {
  return { head: `larder:1:{${group}}:head`, names: `larder:1:{${group}}:names` };
}

/** The key of what is stored under a name. */
export function entryKey(group: string, name: string): string {
  return `larder:1:{${group}}:e:${name}`;
}
