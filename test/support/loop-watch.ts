import { performance } from "node:perf_hooks";

/** What work came to, and how it shared the event loop. */
interface Watched<T> {
  readonly value: T;
  readonly turns: number;
  readonly longestMs: number;
  readonly longestWallMs: number;
}

// No slice of work takes so long; a full collection of the test runner's own heap does, on a slow machine.
const SUSPECT_MS = 20;
const MOST_RUNS = 3;

/** As `watchOnce`, for work that can be run again: what holds the loop by itself does so each time, a collection does not. */
export async function watchLoop<T>(work: () => T | Promise<T>): Promise<Watched<T>> {
  let best = await watchOnce(work);
  for (let runs = 1; runs < MOST_RUNS && best.longestMs > SUSPECT_MS; runs++) {
    const again = await watchOnce(work);
    if (again.longestMs < best.longestMs) best = again;
  }
  return best;
}

/**
 * Runs work and measures how long it holds the event loop at most, and how many turns the loop has meanwhile.
 * In CPU time of this thread, so that a busy machine does not count. Wall time is told besides.
 */
export async function watchOnce<T>(work: () => T | Promise<T>): Promise<Watched<T>> {
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  let turns = 0;
  let longestMs = 0;
  let longestWallMs = 0;
  let cpuAt = cpuMs();
  let wallAt = performance.now();
  let running = true;
  const look = () => {
    longestMs = Math.max(longestMs, cpuMs() - cpuAt);
    longestWallMs = Math.max(longestWallMs, performance.now() - wallAt);
    cpuAt = cpuMs();
    wallAt = performance.now();
    turns++;
    if (running) setImmediate(look);
  };
  setImmediate(look);
  let value: T;
  try {
    value = await work();
  } finally {
    running = false;
  }
  look();
  return { value, turns, longestMs, longestWallMs };
}
