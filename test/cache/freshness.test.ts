import { describe, expect, it } from "vitest";
import {
  currentAsOf,
  type FeedWord,
  type Lifetimes,
  mayServeStale,
  remainingMs,
  reuse,
} from "../../src/cache/freshness.ts";
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

  it.each([
    [2_000, 5_000],
    [11_000, 10_000],
    [31_000, 30_000],
    [901_000, 100_000],
  ] as const)(
    "asks an upstream that still lags at %i ms again after %i ms: less and less often",
    (confirmedAt, lifetimeMs) => {
      const head = headWith({ generation: 11, advancedAt: 1_000 });
      expect(remainingMs(entryWith({ confirmedAt }), head, lifetimes, confirmedAt)).toBe(lifetimeMs);
    },
  );

  it("asks about a 404 again soon that came after a change of which nothing has been seen yet", () => {
    const head = headWith({ generation: 11, advancedAt: 1_000 });
    const absent = (confirmedAt: number) => entryWith({ status: 404, generation: 11, confirmedAt });
    expect(remainingMs(absent(2_000), head, lifetimes, 2_000)).toBe(5_000);
    expect(remainingMs(absent(31_000), head, lifetimes, 31_000)).toBe(30_000);
    expect(remainingMs(absent(901_000), head, lifetimes, 901_000)).toBe(60_000);
    expect(remainingMs(absent(2_000), { ...head, confirmedAt: 1_500 }, lifetimes, 2_000)).toBe(60_000);
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

describe("the change feed", () => {
  const MINUTE_MS = 60_000;
  const HOUR_MS = 60 * MINUTE_MS;
  /** Followed since 0; a document is confirmed at minute 6, when the CDN is sure to have noticed what was before. */
  const SETTLED = 6 * MINUTE_MS;
  const word = (asOf: number): FeedWord => ({ asOf, followedSince: 0, ownCheckMs: 24 * HOUR_MS });
  const settled = entryWith({ confirmedAt: SETTLED });

  it.each([
    ["as of a poll just now", 5 * HOUR_MS, 5 * HOUR_MS, 100_000],
    ["until a lifetime after the last poll", 5 * HOUR_MS, 5 * HOUR_MS + 99_000, 1_000],
    ["until the hard limit", 24 * HOUR_MS + SETTLED - 5_000, 24 * HOUR_MS + SETTLED - 4_000, 4_000],
  ] as const)("lends freshness %s", (_, asOf, now, leftMs) => {
    expect(remainingMs(settled, headWith(), lifetimes, now, word(asOf))).toBe(leftMs);
  });

  it.each([
    ["the feed was not polled for a lifetime", {}, {}, word(4 * HOUR_MS)],
    ["the last poll is from the future", {}, {}, word(9 * HOUR_MS)],
    ["the project has changed since", {}, { generation: 11, advancedAt: 4 * HOUR_MS }, word(5 * HOUR_MS)],
    ["it lags behind its project", {}, { generation: 11, advancedAt: 1 }, word(5 * HOUR_MS)],
    ["it was confirmed before the feed was followed", { confirmedAt: SETTLED - 1 }, {}, word(5 * HOUR_MS)],
    ["it came so soon after a change that the CDN may lag", {}, { advancedAt: 1 }, word(5 * HOUR_MS)],
    ["it is a 404", { status: 404 as const }, {}, word(5 * HOUR_MS)],
    ["upstream tells no serial", { generation: 0 }, { generation: 0 }, word(5 * HOUR_MS)],
    ["its project is gone", {}, { invalidatedAt: SETTLED + 1 }, word(5 * HOUR_MS)],
  ])("lends none where %s", (_, entry, head, feed) => {
    const given = { ...settled, ...entry };
    const now = 5 * HOUR_MS;
    expect(reuse(given, headWith(head), lifetimes, now, false, feed)).toBe("validate");
  });

  it("lends none beyond the hard limit of an entry's own confirmation", () => {
    const now = 24 * HOUR_MS + SETTLED;
    expect(reuse(settled, headWith(), lifetimes, now - 1, false, word(now - 1))).toBe("fresh");
    expect(reuse(settled, headWith(), lifetimes, now, false, word(now))).toBe("stale-while-revalidate");
  });

  it("takes nothing away from an entry's own lifetime", () => {
    const now = SETTLED + 40_000;
    expect(remainingMs(settled, headWith(), lifetimes, now, word(1))).toBe(60_000);
  });

  it("tells as of when an entry is current, for the index of all projects and for an outage", () => {
    const now = 5 * HOUR_MS;
    expect(currentAsOf(settled, headWith(), now, word(now - 7))).toBe(now - 7);
    expect(currentAsOf(settled, headWith(), now, undefined)).toBe(SETTLED);
    expect(currentAsOf(settled, headWith({ generation: 11, advancedAt: now }), now, word(now))).toBe(SETTLED);
    const limited = { ...lifetimes, staleIfErrorMs: 1_000 };
    expect(mayServeStale(settled, headWith(), limited, now + 101_000, word(now))).toBe(true);
    expect(mayServeStale(settled, headWith(), limited, now + 101_001, word(now))).toBe(false);
    expect(mayServeStale(settled, headWith(), limited, now)).toBe(false);
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
