import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSuperseded } from "../../src/cache/freshness.ts";
import { type Context, type Loaded, settle } from "../../src/cache/settle.ts";
import type { Entry, Head } from "../../src/store/store.ts";
import { entryWith, headWith } from "./entries.ts";

const DAY_MS = 86_400_000;
const NOW = 10_000;

function response(generation: number | undefined, at: number, ownName?: string): Loaded {
  return {
    kind: "response",
    generation,
    confirmedAt: at,
    etag: '"new"',
    date: "Mon, 23 Nov 2026 13:00:00 GMT",
    contentType: "application/json",
    coding: "gzip",
    digest: "e".repeat(64),
    body: Buffer.from("new"),
    ownName,
  };
}

const notModified = (at: number): Loaded => ({ kind: "not-modified", confirmedAt: at, date: "a later date" });
const absent = (at: number, endsGroup = true): Loaded => ({
  kind: "negative",
  status: 404,
  confirmedAt: at,
  date: "a date",
  endsGroup,
});

function context(changes: Partial<Context> = {}): Context {
  return {
    group: "demo",
    name: "json",
    head: headWith(),
    held: entryWith(),
    now: 1_000,
    lowerAfterMs: DAY_MS,
    fence: 7,
    ...changes,
  };
}

describe("a response of a newer serial", () => {
  it("replaces what is held and supersedes every older document of the project", () => {
    const settled = settle(response(11, 1_000), context());
    expect(settled.entry).toMatchObject({ generation: 11, digest: "e".repeat(64), confirmedAt: 1_000 });
    expect(settled.head).toMatchObject({ generation: 11, advancedAt: 1_000, confirmedAt: 1_000 });
    expect(isSuperseded(entryWith({ name: "json/1.0", confirmedAt: 999 }), settled.head, NOW)).toBe(true);
  });
});

describe("a response of the same serial", () => {
  it("replaces the body, for equal serial is not equal body", () => {
    const settled = settle(response(10, 1_000), context());
    expect(settled.entry?.digest).toBe("e".repeat(64));
    expect(settled.head.advancedAt).toBe(0);
    expect(isSuperseded(entryWith({ name: "json/1.0" }), settled.head, NOW)).toBe(false);
  });
});

describe("a response without a serial", () => {
  it("works, with nothing known and with something", () => {
    expect(
      settle(response(undefined, 5), context({ head: undefined, held: undefined })).entry?.generation,
    ).toBe(0);
    expect(settle(response(undefined, 5), context()).entry?.generation).toBe(10);
  });
});

describe("a response of a lower serial", () => {
  it("does not replace what is held, and is remembered", () => {
    const settled = settle(response(9, 1_000), context());
    expect(settled).toMatchObject({
      entry: undefined,
      surprise: "kept",
      head: { generation: 10, lowerSince: 1_000 },
    });
  });

  it("is believed once upstream has insisted for long enough, and the group goes back with it", () => {
    const insisting = headWith({ lowerSince: 1_000 });
    const early = settle(response(9, 1_000), context({ head: insisting, now: DAY_MS + 999 }));
    expect(early.surprise).toBe("kept");
    const late = settle(response(9, 1_000), context({ head: insisting, now: DAY_MS + 1_000 }));
    expect(late).toMatchObject({
      surprise: "lowered",
      entry: { generation: 9 },
      head: { generation: 9, lowerSince: 0 },
    });
  });

  it("starts its time anew when upstream knows the current serial again in between", () => {
    const settled = settle(notModified(2_000), context({ head: headWith({ lowerSince: 1_000 }) }));
    expect(settled.head.lowerSince).toBe(0);
  });

  it("is served where nothing better is held, without lowering the project", () => {
    const settled = settle(response(9, 1_000), context({ held: undefined }));
    expect(settled).toMatchObject({ entry: { generation: 9 }, head: { generation: 10 } });
  });
});

describe("a 304", () => {
  it("confirms the entry as it is, with upstream's newer Date and no serial needed", () => {
    const settled = settle(notModified(2_000), context());
    expect(settled.entry).toEqual({ ...entryWith(), fence: 7, confirmedAt: 2_000, date: "a later date" });
    expect(settled.body).toBeUndefined();
    expect(settled.head.confirmedAt).toBe(2_000);
  });
});

describe("a 404", () => {
  it("is the truth at once, whatever was held", () => {
    expect(settle(absent(1_000), context()).entry).toMatchObject({ status: 404, digest: "", generation: 10 });
  });

  it("of the project makes its releases ask again; of a release it does not", () => {
    const release = entryWith({ name: "json/1.0", confirmedAt: 500 });
    expect(isSuperseded(release, settle(absent(1_000), context()).head, NOW)).toBe(true);
    expect(isSuperseded(release, settle(absent(1_000, false), context()).head, NOW)).toBe(false);
  });

  it("ends when anything of the project answers again, even without a serial", () => {
    const gone = settle(absent(1_000), context({ head: undefined, held: undefined }));
    const back = settle(
      response(undefined, 2_000),
      context({ head: gone.head, held: undefined, name: "json/1.0" }),
    );
    expect(isSuperseded(gone.entry!, back.head, NOW)).toBe(true);
    expect(isSuperseded(back.entry!, back.head, NOW)).toBe(false);
  });
});

describe("another spelling of a version", () => {
  it("is stored once, under the spelling that the document itself has", () => {
    const settled = settle(response(10, 5, "json/1.0"), context({ name: "json/1.0.0", held: undefined }));
    expect(settled.entry).toMatchObject({ name: "json/1.0", aliasOf: undefined });
    expect(settled.alias).toMatchObject({
      name: "json/1.0.0",
      aliasOf: "json/1.0",
      generation: 10,
      bytes: 0,
    });
  });
});

describe("any sequence of answers", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("response" as const), generation: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant("not-modified" as const) }),
    fc.record({ kind: fc.constant("negative" as const) }),
  );

  it("never lowers the serial of a project unless it says so, nor keeps it for ever against upstream", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(step, fc.integer({ min: 1, max: DAY_MS })), { maxLength: 40 }),
        (steps) => {
          let head: Head | undefined;
          let held: Entry | undefined;
          let now = 1;
          for (const [answer, elapsed] of steps) {
            now += elapsed;
            if (answer.kind === "not-modified" && held?.status !== 200) continue;
            const loaded =
              answer.kind === "response"
                ? response(answer.generation, now)
                : answer.kind === "negative"
                  ? absent(now)
                  : notModified(now);
            const before = head;
            const settled = settle(loaded, context({ head, held, now }));
            if (before !== undefined && settled.head.generation < before.generation) {
              expect(settled.surprise).toBe("lowered");
              expect(now - before.lowerSince).toBeGreaterThanOrEqual(DAY_MS);
            }
            head = settled.head;
            held = settled.entry ?? held;
            expect(held?.generation).toBeLessThanOrEqual(Math.max(head.generation, held?.generation ?? 0));
          }
          // However it came: a day of one lower answer, and it is believed.
          if (head === undefined) return;
          for (const elapsed of [1, DAY_MS]) {
            now += elapsed;
            const settled: ReturnType<typeof settle> = settle(response(0, now), context({ head, held, now }));
            head = settled.head;
            held = settled.entry ?? held;
          }
          expect(head.generation).toBe(0);
        },
      ),
    );
  });
});
