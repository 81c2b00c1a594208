import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HotFiles, type ReadableFile } from "../../src/blobs/hot-files.ts";

const FACTS = {
  contentType: "application/zip",
  lastModified: undefined,
  date: "Wed, 25 Nov 2026 15:00:00 GMT",
};
const BUDGET = 400_000;
const MIB = 2 ** 20;

/** A file of which byte `i` is told by its path and place. */
function file(path: string, bytes: number): ReadableFile & { reads: number } {
  const all = Buffer.from(Array.from({ length: bytes }, (_, i) => (path.charCodeAt(0) * 31 + i * 7) % 256));
  const made = {
    ...{ path, name: path, bytes, facts: FACTS, reads: 0 },
    read: (buffer: Buffer, startAt: number): Promise<void> => {
      made.reads += 1;
      all.copy(buffer, 0, startAt);
      return Promise.resolve();
    },
  };
  return made;
}

function held(hot: HotFiles, path: string, startAt: number, endAt: number): Buffer | undefined {
  const piece = hot.find(path)?.piece(startAt, endAt);
  return typeof piece === "string" ? Buffer.from(piece, "latin1") : piece;
}

function isHeld(hot: HotFiles, { path, bytes }: ReadableFile): boolean {
  return held(hot, path, 0, bytes) !== undefined;
}

const readAll = (hot: HotFiles, of: ReadableFile): Promise<Buffer | undefined> => hot.read(of, 0, of.bytes);

describe("files in memory", () => {
  it("are the bytes that were read, of the span that was read, and never more than the budget", async () => {
    const FILES = [file("a", 60_000), file("b", 15_000), file("c", 50_000), file("d", 1)];
    const aRead = fc
      .record({ of: fc.constantFrom(...FILES), start: fc.nat(3), bytes: fc.constantFrom(1, 4_096, 15_001) })
      .map(({ of, start, bytes }) => {
        const startAt = Math.floor((of.bytes * start) / 4);
        return { of, startAt, endAt: Math.min(startAt + bytes * (start === 0 ? 4 : 1), of.bytes) };
      });
    await fc.assert(
      fc.asyncProperty(fc.array(aRead, { maxLength: 40 }), async (reads) => {
        const hot = new HotFiles(BUDGET / 2);
        for (const { of, startAt, endAt } of reads) {
          const want = Buffer.alloc(endAt - startAt);
          await of.read(want, startAt);
          expect(await hot.read(of, startAt, endAt)).toEqual(want);
          expect(hot.size().bytes).toBeLessThanOrEqual(BUDGET / 2);
          expect(held(hot, of.path, startAt, endAt)).toEqual(want);
          const middle = { startAt: startAt + 1, endAt: Math.max(startAt + 1, endAt - 1) };
          expect([want.subarray(1, -1), undefined]).toContainEqual(
            held(hot, of.path, middle.startAt, middle.endAt),
          );
        }
      }),
      { numRuns: 50 },
    );
  });

  it("go, least recently used first, and a file goes with its last piece", async () => {
    const hot = new HotFiles(300_000);
    const [a, b, c] = [file("a", 60_000), file("b", 60_000), file("c", 60_000)];
    await readAll(hot, a);
    await readAll(hot, b);
    expect(isHeld(hot, a)).toBe(true);
    await readAll(hot, c);
    expect(["a", "b", "c"].map((path) => hot.find(path) !== undefined)).toEqual([true, false, true]);
  });

  it("are none without a budget", async () => {
    const one = file("a", 1);
    expect(await readAll(new HotFiles(0), one)).toBeUndefined();
    expect(await readAll(new HotFiles(BUDGET), one)).toBeDefined();
    expect(one.reads).toBe(1);
  });
});

describe("a large file in memory", () => {
  it("is one that was read whole before, and any part of it is there", async () => {
    const hot = new HotFiles(8 * MIB);
    const large = file("a", MIB);
    expect(await readAll(hot, large)).toBeUndefined();
    expect(await hot.read(large, 0, MIB - 1)).toBeUndefined();
    expect(large.reads).toBe(0);
    const whole = await readAll(hot, large);
    expect(whole?.length).toBe(MIB);
    expect(isHeld(hot, large)).toBe(true);
    expect(held(hot, "a", 5, 700_000)).toEqual(whole?.subarray(5, 700_000));
  });

  it("is no larger than three quarters of its part, and takes nothing from the small ones", async () => {
    const hot = new HotFiles(8 * MIB);
    const small = file("s", 200_000);
    await readAll(hot, small);
    const files = Array.from("abcde", (path) => file(path, 1.5 * MIB));
    const tooLarge = file("z", 3 * MIB);
    for (const of of [...files, ...files, tooLarge, tooLarge]) await readAll(hot, of);
    expect(files.map((of) => isHeld(hot, of))).toEqual([false, false, false, true, true]);
    expect([isHeld(hot, small), isHeld(hot, tooLarge)]).toEqual([true, false]);
    expect(hot.size().bytes).toBeLessThanOrEqual(8 * MIB);
  });

  it("is wanted only if few others were read meanwhile", async () => {
    const hot = new HotFiles(8 * MIB);
    const large = file("a", MIB);
    await readAll(hot, large);
    for (let i = 0; i < 256; i++) await readAll(hot, { ...large, path: `other-${i}` });
    expect(await readAll(hot, large)).toBeUndefined();
    expect(await readAll(hot, large)).toBeDefined();
  });

  it("is read for one at a time, and again for the next where that failed", async () => {
    const hot = new HotFiles(8 * MIB);
    const { promise, reject } = Promise.withResolvers<never>();
    const large = file("a", MIB);
    await readAll(hot, large);
    const first = readAll(hot, { ...large, read: () => promise });
    expect(await readAll(hot, large)).toBeUndefined();
    reject(new Error("the disk"));
    await expect(first).rejects.toThrow("the disk");
    expect(await readAll(hot, large)).toBeUndefined();
    expect(await readAll(hot, large)).toBeDefined();
  });

  it("counts as long as somebody has its bytes, though it was forgotten", async () => {
    const hot = new HotFiles(8 * MIB);
    const taken: Buffer[] = [];
    for (let i = 0; i < 40; i++) {
      const large = file(`${i}`, MIB);
      await readAll(hot, large);
      const whole = await readAll(hot, large);
      if (whole !== undefined) taken.push(whole);
    }
    expect(taken.length).toBe(8);
    expect(hot.size().bytes).toBeLessThanOrEqual(4 * MIB);
  });
});
