import { describe, expect, it } from "vitest";
import { type Lifetimes, mayServeStale, remainingMs, reuse } from "../../src/cache/freshness.ts";
import { entryWith, headWith } from "./entries.ts";

const lifetimes: Lifetimes = {
  freshMs: 100_000,
  ownCheckMs: 130_000,
  staleWhileRevalidateMs: 50_000,
  staleIfErrorMs: Infinity,
  negativeMs: 60_000,
  noCacheAfterMs: 5_000,
};

describe("reuse", () => {
  it.each([
    [0, "fresh"],
    [99_999, "fresh"],
    [100_000, "stale-while-revalidate"],
    [149_999, "stale-while-revalidate"],
    [150_000, "validate"],
  ] as const)("of a document that is %i ms old is %s", (now, expected) => {
    expect(reuse(entryWith(), headWith(), lifetimes, now, false)).toBe(expected);
  });

  it.each([
    [59_999, "fresh"],
    [60_000, "validate"],
  ] as const)("of a 404 that is %i ms old is %s", (now, expected) => {
    expect(reuse(entryWith({ status: 404 }), headWith(), lifetimes, now, false)).toBe(expected);
  });

  it.each([
    [5_000, "fresh"],
    [5_001, "validate"],
    [120_000, "validate"],
  ] as const)("for a request with no-cache at %i ms is %s", (now, expected) => {
    expect(reuse(entryWith(), headWith(), lifetimes, now, true)).toBe(expected);
  });

  it("takes effect on what is stored already when a lifetime changes", () => {
    expect(reuse(entryWith(), headWith(), { ...lifetimes, freshMs: 10 }, 50, false)).toBe(
      "stale-while-revalidate",
    );
    expect(
      reuse(entryWith(), headWith(), { ...lifetimes, freshMs: 0, staleWhileRevalidateMs: 0 }, 0, false),
    ).toBe("validate");
  });

  it("waits for upstream as soon as a newer serial of the project was heard of", () => {
    const head = headWith({ generation: 11, advancedAt: 1_000 });
    expect(reuse(entryWith(), head, lifetimes, 2_000, false)).toBe("validate");
  });

  it("asks a lagging upstream again after seconds, not on each request", () => {
    const head = headWith({ generation: 11, advancedAt: 1_000 });
    const lagging = entryWith({ confirmedAt: 2_000 });
    expect(reuse(lagging, head, lifetimes, 6_999, false)).toBe("fresh");
    expect(reuse(lagging, head, lifetimes, 7_000, false)).not.toBe("fresh");
  });

  it("ends a 404 at once when a newer fact arrives", () => {
    const negative = entryWith({ status: 404, generation: 0 });
    expect(reuse(negative, headWith({ generation: 1, advancedAt: 5 }), lifetimes, 6, false)).toBe("validate");
  });

  it("is fresh on the word of another document of the same serial, but not for longer than its own check allows", () => {
    const head = headWith({ confirmedAt: 90_000 });
    expect(reuse(entryWith(), head, lifetimes, 129_999, false)).toBe("fresh");
    expect(reuse(entryWith(), head, lifetimes, 130_000, false)).toBe("stale-while-revalidate");
    const other = headWith({ confirmedAt: 90_000, generation: 11 });
    expect(reuse(entryWith(), other, lifetimes, 110_000, false)).not.toBe("fresh");
    const noSerials = headWith({ confirmedAt: 90_000, generation: 0 });
    expect(reuse(entryWith({ generation: 0 }), noSerials, lifetimes, 110_000, false)).not.toBe("fresh");
  });

  it("validates everything of a project confirmed before its 404", () => {
    const head = headWith({ invalidatedAt: 1_000 });
    expect(reuse(entryWith({ confirmedAt: 999 }), head, lifetimes, 1_001, false)).toBe("validate");
    expect(reuse(entryWith({ confirmedAt: 1_000 }), head, lifetimes, 1_001, false)).toBe("fresh");
  });

  it("does not believe an entry from the future after the clock was set back", () => {
    expect(reuse(entryWith({ confirmedAt: 3_600_000 }), headWith(), lifetimes, 0, false)).not.toBe("fresh");
  });
});

describe("mayServeStale", () => {
  it("lets a document stand in without limit by default, and never beyond the limit that is set", () => {
    expect(mayServeStale(entryWith(), headWith(), lifetimes, 1e12)).toBe(true);
    const limited = { ...lifetimes, staleIfErrorMs: 1_000 };
    expect(mayServeStale(entryWith(), headWith(), limited, 101_000)).toBe(true);
    expect(mayServeStale(entryWith(), headWith(), limited, 101_001)).toBe(false);
  });

  it("never lets an expired 404 stand in: an outage would become one", () => {
    expect(mayServeStale(entryWith({ status: 404 }), headWith(), lifetimes, 60_000)).toBe(false);
    expect(mayServeStale(entryWith({ status: 404 }), headWith(), lifetimes, 59_999)).toBe(true);
  });
});

describe("remainingMs", () => {
  it("never tells freshness for what was superseded", () => {
    const head = headWith({ generation: 11, advancedAt: 1 });
    expect(remainingMs(entryWith(), head, lifetimes, 2)).toBeLessThanOrEqual(0);
  });
});
