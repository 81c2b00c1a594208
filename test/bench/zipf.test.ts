import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mixedPath, seeded, zipfSchedule } from "../../bench/zipf.ts";

describe("seeded", () => {
  it("draws from 0 to below 1, the same for the same seed", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const [one, other] = [seeded(seed), seeded(seed)];
        for (let i = 0; i < 50; i++) {
          const value = one();
          expect(value).toBeGreaterThanOrEqual(0);
          expect(value).toBeLessThan(1);
          expect(other()).toBe(value);
        }
      }),
    );
  });
});

describe("zipfSchedule", () => {
  it("is the same for the same seed, and another for another", () => {
    expect(zipfSchedule(1, 100, 500)).toEqual(zipfSchedule(1, 100, 500));
    expect(zipfSchedule(2, 100, 500)).not.toEqual(zipfSchedule(1, 100, 500));
  });

  it("wants the n-th project 1/n as often as the first", () => {
    const counts = new Array<number>(1_000).fill(0);
    for (const { project } of zipfSchedule(7, 1_000, 400_000)) counts[project]!++;
    for (const n of [2, 3, 10, 30]) expect(counts[0]! / counts[n - 1]! / n).toBeCloseTo(1, 0.7);
    expect(counts.every((count) => count > 0)).toBe(true);
  });

  it("asks for gzip nine times in ten", () => {
    const draws = zipfSchedule(3, 10, 20_000);
    expect(draws.filter(({ coding }) => coding === "gzip").length / draws.length).toBeCloseTo(0.9, 1);
  });
});

describe("mixedPath", () => {
  it("spreads sizes over popular and rare projects alike", () => {
    for (const first of [0, 20, 9_980]) {
      const shapes = Array.from({ length: 20 }, (_, i) => /\/pypi\/(\w+)-/.exec(mixedPath(first + i))![1]!);
      const count = (wanted: string): number => shapes.filter((shape) => shape === wanted).length;
      expect([count("3k"), count("30k"), count("1m")]).toEqual([13, 6, 1]);
    }
  });

  it("gives every project a path of its own", () => {
    expect(new Set(Array.from({ length: 10_000 }, (_, i) => mixedPath(i))).size).toBe(10_000);
  });
});
