import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { quantile, spreadOf } from "../../bench/statistics.ts";

describe("quantile", () => {
  it("is the nearest rank", () => {
    const values = Float64Array.from({ length: 100 }, (_, i) => i + 1);
    expect([0, 0.5, 0.99, 0.991, 1].map((share) => quantile(values, share))).toEqual([1, 50, 99, 100, 100]);
    expect(quantile(new Float64Array(0), 0.5)).toBeNaN();
  });

  it("is not exceeded by its share of the values", () => {
    fc.assert(
      fc.property(
        fc.float64Array({ minLength: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, share) => {
          const found = quantile(values.sort(), share);
          expect(values.filter((value) => value <= found).length).toBeGreaterThanOrEqual(
            share * values.length - 1e-9,
          );
        },
      ),
    );
  });
});

describe("spreadOf", () => {
  it("tells the middle and both ends", () => {
    expect(spreadOf([5, 1, 9])).toEqual({ median: 5, min: 1, max: 9 });
    expect(spreadOf([4, 1, 2, 9])).toEqual({ median: 3, min: 1, max: 9 });
  });
});
