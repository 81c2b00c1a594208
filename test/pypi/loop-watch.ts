import { performance } from "node:perf_hooks";

/**
 * Runs work and measures how long it holds the event loop at most, and how many turns the loop has meanwhile.
 * In CPU time of this thread, so that a busy machine does not count. Wall time is told besides.
 */
export async function watchLoop<T>(
  work: () => T | Promise<T>,
): Promise<{ value: T; turns: number; longestMs: number; longestWallMs: number }> {
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
  const value = await work();
  running = false;
  look();
  return { value, turns, longestMs, longestWallMs };
}
