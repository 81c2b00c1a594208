/** One request of a schedule: which project, and in which coding. */
export interface Draw {
  /** 0 is the most wanted project. */
  readonly project: number;
  readonly coding: "gzip" | "identity";
}

const GZIP_SHARE = 0.9;

/** Numbers from 0 to below 1 that are the same for the same seed (mulberry32): Math.random takes no seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws from `projects` by Zipf's law with exponent 1: the n-th is wanted 1/n as often as the first. */
export function zipfSchedule(seed: number, projects: number, requests: number): readonly Draw[] {
  const random = seeded(seed);
  const upTo = new Float64Array(projects);
  let sum = 0;
  for (let i = 0; i < projects; i++) upTo[i] = sum += 1 / (i + 1);
  return Array.from({ length: requests }, () => ({
    project: firstAbove(upTo, random() * sum),
    coding: random() < GZIP_SHARE ? "gzip" : "identity",
  }));
}

/** What a project is: of 20 neighbours 13 have 3 kB, 6 have 30 kB, and one has 1 MB. */
export function mixedPath(project: number): string {
  // 7 has no divisor in common with 20: so the sizes are spread over popular and rare alike.
  const place = (project * 7 + 3) % 20;
  const shape = place < 13 ? "3k" : place < 19 ? "30k" : "1m";
  return `/pypi/${shape}-mixed-${project}/json`;
}

function firstAbove(ascending: Float64Array, value: number): number {
  let [low, high] = [0, ascending.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] ?? Infinity) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
