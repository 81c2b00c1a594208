import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyFile } from "../../src/blobs/copy.ts";

const KIB = 1024;
const directory = mkdtempSync(join(tmpdir(), "larder-copy-"));
const bytes = randomBytes(5_000 * KIB + 7);
let handle: FileHandle;

beforeAll(async () => {
  writeFileSync(join(directory, "file"), bytes);
  handle = await open(join(directory, "file"));
});

afterAll(async () => {
  await handle.close();
  rmSync(directory, { recursive: true });
});

/** Lengths of the pieces of a copy, and its bytes. */
async function copied(
  startAt: number,
  endAt: number,
  mayBeLarge: boolean,
): Promise<{ lengths: number[]; whole: Buffer }> {
  const pieces: Buffer[] = [];
  const keep = (piece: Buffer): Promise<void> => Promise.resolve(void pieces.push(Buffer.from(piece)));
  await copyFile(handle, startAt, endAt, keep, mayBeLarge);
  return { lengths: pieces.map(({ length }) => length), whole: Buffer.concat(pieces) };
}

describe("copyFile", () => {
  it("copies just the bytes that are wanted, in small pieces or in growing ones", async () => {
    for (const mayBeLarge of [false, true]) {
      const { lengths, whole } = await copied(11, bytes.length - 3, mayBeLarge);
      expect(whole.equals(bytes.subarray(11, -3))).toBe(true);
      expect(lengths[0]).toBe(256 * KIB);
      expect(Math.max(...lengths)).toBe(mayBeLarge ? 1024 * KIB : 256 * KIB);
    }
  });

  it("gives 16 at once large pieces and all others small ones, and 16 again when these are done or have failed", async () => {
    for (const isGone of [false, true, false]) {
      const full = Promise.withResolvers<undefined>();
      let waiting = 0;
      let larges = 0;
      const copies = Array.from({ length: 20 }, () => {
        let pieces = 0;
        return copyFile(
          handle,
          0,
          bytes.length,
          async ({ length }) => {
            pieces += 1;
            if (pieces !== 2) return;
            if (length > 256 * KIB) larges += 1;
            waiting += 1;
            if (waiting === 20) full.resolve(undefined);
            await full.promise;
            if (isGone) throw new Error("the client went away");
          },
          true,
        );
      });
      await Promise.allSettled(copies);
      expect(larges).toBe(16);
    }
  });

  it("rejects when the file ends before it should", async () => {
    await expect(copied(0, bytes.length + 1, true)).rejects.toThrow("the file ends at");
  });
});
