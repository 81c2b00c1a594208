import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HotFiles } from "../../src/blobs/hot-files.ts";

const FACTS = {
  contentType: "application/zip",
  lastModified: undefined,
  date: "Wed, 25 Nov 2026 15:00:00 GMT",
};
const BUDGET = 200_000;

/** Byte `i` of the file at `path`. */
const byteAt = (path: string, i: number): number => (path.charCodeAt(0) * 31 + i * 7) % 256;

describe("small files in memory", () => {
  it("are the bytes that were read, of the span that was read, and never more than the budget", () => {
    const aRead = fc.record({
      path: fc.constantFrom("a", "b", "c", "d"),
      startAt: fc.nat(3).map((n) => n * 10_000),
      bytes: fc.constantFrom(1, 4_096, 15_000, 15_001, 60_000),
    });
    fc.assert(
      fc.property(fc.array(aRead, { maxLength: 40 }), (reads) => {
        const hot = new HotFiles(BUDGET);
        for (const { path, startAt, bytes } of reads) {
          const piece = Buffer.from(Array.from({ length: bytes }, (_, i) => byteAt(path, startAt + i)));
          hot.keep(path, { name: path, bytes: 1_000_000, facts: FACTS }, startAt, piece);
          expect(hot.size().bytes).toBeLessThanOrEqual(BUDGET);
          const held = hot.find(path)?.piece(startAt, startAt + bytes);
          expect(typeof held === "string" ? Buffer.from(held, "latin1") : held).toEqual(piece);
          expect(hot.find(path)?.piece(startAt, startAt + bytes + 7)).toBeUndefined();
        }
      }),
      { numRuns: 50 },
    );
  });

  it("go, least recently used first, and a file goes with its last piece", () => {
    const hot = new HotFiles(150_000);
    const keep = (path: string): void =>
      hot.keep(path, { name: path, bytes: 60_000, facts: FACTS }, 0, Buffer.alloc(60_000));
    keep("a");
    keep("b");
    expect(hot.find("a")?.piece(0, 60_000)).toBeDefined();
    keep("c");
    expect(["a", "b", "c"].map((path) => hot.find(path) !== undefined)).toEqual([true, false, true]);
  });

  it("are none without a budget, and none of what is large", () => {
    expect([
      new HotFiles(0).takes(1),
      new HotFiles(BUDGET).takes(1),
      new HotFiles(2 ** 30).takes(2 ** 20),
    ]).toEqual([false, true, false]);
  });
});
