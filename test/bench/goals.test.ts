import { describe, expect, it } from "vitest";
import { judge, type Measured, type Verdict } from "../../bench/goals.ts";
import type { HitRow } from "../../bench/hits.ts";
import { MOVES_NOTHING } from "../../bench/servers/larder-kinds.ts";
import type { Workers } from "../../bench/workers.ts";

const spread = (median: number) => ({ median, min: median, max: median });

const NOTHING: Measured = {
  at: "2026-01-02T03:04:05.678Z",
  commit: "0123456789ab",
  isDirty: false,
  machine: { cpu: "one", cores: 2, memoryBytes: 1, kernel: "1", isPinned: true },
  versions: {},
  rounds: { rounds: 1, seconds: 1, warmUpSeconds: 1, connections: 1 },
  leftOut: {},
  hits: [],
  stores: [],
  workers: undefined,
  mixed: {},
  cold: [],
  pauses: [],
  herds: {},
  startUp: undefined,
  residentBytes: {},
};

/** A row with larder's CPU over that of others. */
function hits(row: string, over: Readonly<Record<string, number>>): HitRow {
  const figures = (ratio: number) => ({
    cpuMicros: spread(1),
    requestsPerSecond: spread(1),
    p50Ms: spread(1),
    p99Ms: spread(1),
    larderOver: spread(ratio),
  });
  return {
    row,
    servers: Object.fromEntries(Object.entries(over).map(([server, ratio]) => [server, figures(ratio)])),
  };
}

function verdict(found: Partial<Measured>, goal: string): Verdict {
  const verdicts = judge({ ...NOTHING, ...found }).filter((one) => one.goal.startsWith(goal));
  expect(verdicts).toHaveLength(1);
  return verdicts[0]!;
}

describe("judge", () => {
  it("judges nothing that was not measured", () => {
    expect(new Set(judge(NOTHING).map(({ isMet }) => isMet))).toEqual(new Set([undefined]));
  });

  it("lets the worst row decide, and names it", () => {
    const goal = "gzip hits and 304s: at most nginx plain";
    const good = hits("304", { "nginx plain": 0.9 });
    expect(verdict({ hits: [good] }, goal)).toMatchObject({ isMet: true, figure: "0.90 x (304)" });
    const bad = hits("JSON 1 MB gzip", { "nginx plain": 1.01 });
    expect(verdict({ hits: [good, bad] }, goal)).toMatchObject({
      isMet: false,
      figure: "1.0 x (worst: JSON 1 MB gzip)",
    });
  });

  it("looks past a server that was left out of a row", () => {
    const row: HitRow = { row: "304", servers: { "nginx tuned": { skipped: "no ETag" } } };
    expect(verdict({ hits: [row] }, "gzip hits and 304s: at least 2 x below").isMet).toBeUndefined();
  });

  it.each([
    ["index pages: at least 25 x below proxpi", "proxpi", 1 / 26, 1 / 24],
    ["index pages: at least 60 x below devpi", "devpi", 1 / 61, 1 / 59],
  ])("%s", (goal, server, met, missed) => {
    expect(verdict({ hits: [hits("simple HTML gzip", { [server]: met })] }, goal).isMet).toBe(true);
    expect(verdict({ hits: [hits("simple HTML gzip", { [server]: missed })] }, goal).isMet).toBe(false);
  });

  it("grants a cold document of 5 MB a tenth of the direct way and 20 ms", () => {
    const cold = (addedMs: number) => [
      {
        row: "cold 5 MB gzip",
        directMs: spread(100),
        addedMs: { larder: spread(addedMs) },
        totalMs: { larder: spread(100 + addedMs) },
      },
    ];
    expect(verdict({ cold: cold(30) }, "cold 5 MB").isMet).toBe(true);
    expect(verdict({ cold: cold(31) }, "cold 5 MB").isMet).toBe(false);
  });

  it("holds larder to 5 ms for a cold document of 1 MB, and apart from that the one that leaves URLs", () => {
    const cold = (moving: number, leaving: number) => [
      {
        row: "cold 1 MB gzip",
        directMs: spread(1),
        addedMs: { larder: spread(moving), [MOVES_NOTHING]: spread(leaving) },
        totalMs: {},
      },
    ];
    const metOf = (results: Partial<Measured>) =>
      ["cold 1 MB", "the same, URLs left"].map((goal) => verdict(results, goal).isMet);
    expect(metOf({ cold: cold(6, 5) })).toEqual([false, true]);
    expect(metOf({ cold: cold(5, 6) })).toEqual([true, false]);
  });

  it("takes the longest pause of all, not the median", () => {
    const pauses = [{ row: "cold 30 MB gzip", longestMs: { median: 5, min: 1, max: 21 } }];
    expect(verdict({ pauses }, "no pause").isMet).toBe(false);
  });

  it("judges two workers by what was measured, or where the load needs the same cores by parts of them, or by CPU", () => {
    const figures = { requestsPerSecond: spread(1), cpuMicros: spread(1), coresBusy: spread(1.6) };
    const workers = {
      row: "JSON",
      one: figures,
      two: figures,
      ratio: spread(1.5),
      cpuLimitedRatio: spread(1.9),
      bounded: { skipped: "not root" },
    };
    const bounded = (ratio: number) => ({
      ...workers,
      bounded: {
        share: 0.3,
        oneRequestsPerSecond: spread(1),
        twoRequestsPerSecond: spread(1),
        ratio: spread(ratio),
      },
    });
    const judged = (rows: readonly Workers[], cores: number) =>
      verdict({ workers: rows, machine: { ...NOTHING.machine, cores } }, "2 workers");
    expect(judged([workers], 2)).toMatchObject({
      isMet: true,
      figure: expect.stringContaining("1.9 x by CPU") as string,
    });
    expect(judged([workers], 4).isMet).toBe(false);
    expect(judged([{ ...workers, ratio: spread(1.7) }], 4).isMet).toBe(true);
    expect(judged([workers, { ...workers, cpuLimitedRatio: spread(1.6) }], 2).isMet).toBe(false);
    expect(judged([bounded(1.7)], 2)).toMatchObject({
      isMet: true,
      figure: expect.stringContaining("0.3 of a core") as string,
    });
    expect(judged([bounded(1.6)], 2).isMet).toBe(false);
    expect(judged([bounded(1.9)], 4).isMet).toBe(false);
    expect(verdict({ workers: { skipped: "did not start" } }, "2 workers").isMet).toBeUndefined();
  });

  it("holds every larder's memory against the budget, and nobody else's", () => {
    const mixed = (bytes: number) => ({
      p50Ms: 1,
      p99Ms: 1,
      maxMs: 1,
      laterP50Ms: 1,
      laterP99Ms: 1,
      lateP50Ms: 0,
      lateP99Ms: 0,
      ownCpuShare: 0,
      failed: 0,
      requests: 1,
      perSecond: 1,
      hitRatio: 1,
      cpuMicros: 1,
      residentBytes: bytes,
      isHeld: true,
    });
    const goal = "memory after the mixed load";
    expect(verdict({ mixed: { larder: mixed(388e6), varnish: mixed(2e9) } }, goal).isMet).toBe(true);
    expect(verdict({ mixed: { larder: mixed(388e6), "larder, Redis": mixed(389e6) } }, goal).isMet).toBe(
      false,
    );
  });

  it("wants one upstream request of a herd, and no client without its answer", () => {
    const herd = (upstreamRequests: number, failed: number) => ({
      clients: 2,
      upstreamRequests,
      firstByteMs: spread(1),
      lastBehindFirstMs: 1,
      wholeMs: spread(1),
      failed,
    });
    const of = (upstreamRequests: number, failed: number) =>
      verdict({ herds: { "2 on one": { larder: herd(upstreamRequests, failed) } } }, "a herd").isMet;
    expect([of(1, 0), of(2, 0), of(1, 1)]).toEqual([true, false, false]);
  });
});
