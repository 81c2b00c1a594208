import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Asked, Page } from "../../src/feed/changelog.ts";
import {
  type Following,
  nextQuestion,
  onFailure,
  onLastSerial,
  onPage,
  PAUSE_MS,
  type Position,
  type Step,
  takeOver,
} from "../../src/feed/follow.ts";

const INTERVAL_MS = 60_000;
const HOUR_MS = 3_600_000;
const AT: Position = { serial: 100, asOf: 1_000, followedSince: 500 };

const asked = <T>(value: T, asOf = 5_000, waitMs = 0): Asked<T> => ({ value, asOf, waitMs });
const page = (rows: number, lastSerial?: number): Page => ({
  marks: new Map(lastSerial === undefined ? [] : [["demo", lastSerial]]),
  rows,
  lastSerial,
});
const following = (changes: Partial<Following> = {}): Following => ({
  position: AT,
  mustSurvey: false,
  pages: 0,
  failures: 0,
  ...changes,
});

describe("who takes the feed over", () => {
  it("begins at upstream's newest change where nobody has followed", () => {
    expect(nextQuestion(takeOver(undefined))).toEqual({ kind: "last-serial" });
    expect(onLastSerial(takeOver(undefined), asked(700), INTERVAL_MS)).toEqual({
      following: following({ position: { serial: 700, asOf: 5_000, followedSince: 5_000 } }),
      reached: "begun",
      waitMs: INTERVAL_MS,
    });
  });

  it("goes on from where it was left, once it knows that the gap is not too long", () => {
    expect(nextQuestion(takeOver(AT))).toEqual({ kind: "last-serial" });
    const step = onLastSerial(takeOver(AT), asked(1_000_100), INTERVAL_MS);
    expect(step).toMatchObject({ reached: "behind", waitMs: PAUSE_MS, following: { position: AT } });
    expect(nextQuestion(step.following)).toEqual({ kind: "since", serial: 100 });
  });

  it.each([
    ["too-long", 1_000_101],
    ["went-back", 99],
  ])("begins anew where the gap is %s", (reached, last) => {
    expect(onLastSerial(takeOver(AT), asked(last), INTERVAL_MS)).toMatchObject({
      reached,
      following: { position: { serial: last, asOf: 5_000, followedSince: 5_000 } },
    });
  });

  it("has missed nothing where nothing has changed", () => {
    expect(onLastSerial(takeOver(AT), asked(100), INTERVAL_MS)).toMatchObject({
      reached: "current",
      following: { position: { serial: 100, asOf: 5_000, followedSince: 500 }, mustSurvey: false },
    });
  });
});

describe("an answer", () => {
  it("that is short reaches the end: as of when it was asked for", () => {
    expect(onPage(following({ pages: 3, failures: 2 }), asked(page(999, 180)), INTERVAL_MS)).toEqual({
      following: following({ position: { serial: 180, asOf: 5_000, followedSince: 500 } }),
      reached: "current",
      waitMs: INTERVAL_MS,
    });
  });

  it("that may have been cut is followed by the next one, a second later, and says nothing of now", () => {
    expect(onPage(following(), asked(page(1_000, 180)), INTERVAL_MS)).toEqual({
      following: following({ position: { serial: 180, asOf: 1_000, followedSince: 500 }, pages: 1 }),
      reached: "behind",
      waitMs: PAUSE_MS,
    });
  });

  it("ends a gap of too many pages: to begin anew", () => {
    const step = onPage(following({ pages: 99 }), asked(page(50_000, 180)), INTERVAL_MS);
    expect(step).toMatchObject({ reached: "too-long", waitMs: PAUSE_MS });
    expect(nextQuestion(step.following)).toEqual({ kind: "last-serial" });
    expect(onLastSerial(step.following, asked(200), INTERVAL_MS).reached).toBe("begun");
  });

  it("with nothing in it has to be proved, since an upstream that lost its journal says the same", () => {
    const nothing = onPage(following(), asked(page(0)), INTERVAL_MS);
    expect(nothing).toMatchObject({ reached: "behind", waitMs: PAUSE_MS, following: { position: AT } });
    expect(nextQuestion(nothing.following)).toEqual({ kind: "last-serial" });
    expect(onLastSerial(nothing.following, asked(100), INTERVAL_MS).reached).toBe("current");
    expect(onLastSerial(nothing.following, asked(50), INTERVAL_MS).reached).toBe("went-back");
  });

  it("that contradicts the one before is asked for less and less often", () => {
    let state = following();
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      const nothing = onPage(state, asked(page(0)), INTERVAL_MS);
      waits.push(nothing.waitMs);
      state = onLastSerial(nothing.following, asked(150), INTERVAL_MS).following;
    }
    expect(waits).toEqual([1_000, 10_000, 20_000, 40_000, 80_000]);
  });

  it("that asks to be left alone is obeyed, for an hour at most", () => {
    expect(onPage(following(), asked(page(5, 180), 0, 90_000), INTERVAL_MS).waitMs).toBe(90_000);
    expect(onPage(following(), asked(page(5_000, 180), 0, 90_000), INTERVAL_MS).waitMs).toBe(90_000);
    expect(onPage(following(), asked(page(5, 180), 0, 9e9), INTERVAL_MS).waitMs).toBe(HOUR_MS);
  });
});

describe("no answer", () => {
  it("is followed by longer and longer waits, up to ten minutes", () => {
    let state = following();
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) {
      const step: Step = onFailure(state, undefined, 2_000);
      waits.push(step.waitMs / 1_000);
      state = step.following;
    }
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
  });

  it("leaves the position as it is, and what upstream asks for is obeyed", () => {
    expect(onFailure(following(), 41_000, 2_000)).toMatchObject({
      waitMs: 41_000,
      following: { position: AT },
    });
    expect(onFailure(following(), 9e9, 2_000).waitMs).toBe(HOUR_MS);
  });

  it("for long makes it worth knowing how far the end is", () => {
    expect(nextQuestion(onFailure(following(), undefined, AT.asOf + 600_000).following).kind).toBe("since");
    expect(nextQuestion(onFailure(following(), undefined, AT.asOf + 600_001).following).kind).toBe(
      "last-serial",
    );
  });
});

describe("whatever happens", () => {
  const happening = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant("changes" as const),
        count: fc.integer({ min: 1, max: 4_000 }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant("turn" as const), count: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: "failure" as const, count: 1 }) },
    { weight: 1, arbitrary: fc.constant({ kind: "restart" as const, count: 1 }) },
    { weight: 1, arbitrary: fc.constant({ kind: "lags" as const, count: 1 }) },
  );

  it("no change is passed over, and none is claimed to be known that is not", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 3_000 }),
        fc.integer({ min: 0, max: 5_000 }),
        fc.array(happening, { maxLength: 60 }),
        (pageRows, startSerial, happenings) => {
          let now = 10_000;
          let last = startSerial;
          const changedAt = new Map<number, number>(); // serial -> when
          let marked = startSerial; // all up to here are
          let state = takeOver(undefined);
          let stored: Position | undefined;
          let lagging = false;

          const take = (step: Step): void => {
            expect(step.waitMs).toBeGreaterThanOrEqual(PAUSE_MS);
            state = step.following;
            stored = state.position ?? stored;
            now += step.waitMs;
          };
          const turn = (): void => {
            const question = nextQuestion(state);
            const shown = lagging ? Math.min(last, state.position?.serial ?? last) : last;
            if (question.kind === "last-serial") {
              take(onLastSerial(state, asked(last, now), INTERVAL_MS));
              if (state.position?.followedSince === state.position?.asOf) marked = Math.max(marked, last);
              return;
            }
            expect(question.serial).toBeLessThanOrEqual(marked);
            const to = Math.min(shown, question.serial + pageRows);
            const rows = Math.max(0, to - question.serial);
            if (rows > 0) marked = Math.max(marked, to);
            take(onPage(state, asked(page(rows, rows === 0 ? undefined : to), now), INTERVAL_MS));
          };

          for (const { kind, count } of happenings) {
            now += 1;
            if (kind === "changes") for (let i = 0; i < count; i++) changedAt.set(++last, now);
            else if (kind === "turn") for (let i = 0; i < count; i++) turn();
            else if (kind === "failure") take(onFailure(state, undefined, now));
            else if (kind === "restart") state = takeOver(stored);
            else lagging = !lagging;
            if (stored === undefined) continue;
            expect(stored.serial).toBeLessThanOrEqual(marked);
            expect(stored.asOf).toBeLessThanOrEqual(now);
            expect(stored.followedSince).toBeLessThanOrEqual(stored.asOf);
            for (const [serial, at] of changedAt) {
              if (at < stored.asOf && serial > marked) expect.fail(`change ${serial} is claimed to be known`);
            }
          }
          // And when all is quiet, the end is reached.
          lagging = false;
          for (let i = 0; i < 80; i++) turn();
          expect(state.position?.serial).toBe(last);
        },
      ),
      { numRuns: 200 },
    );
  });
});
