import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeBody } from "../../src/upstream/decode.ts";
import { failureOf } from "./pair.ts";

describe("decodeBody", () => {
  it("gives back what was compressed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5_000 }), async (bytes) => {
        expect(await decodeBody(gzipSync(bytes), "gzip", 5_000)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 50 },
    );
  });

  it("refuses a gzip that was cut anywhere", async () => {
    const gzip = gzipSync(Buffer.from("a document ".repeat(50)));
    for (let length = 0; length < gzip.length; length++) {
      const failure = await failureOf(decodeBody(gzip.subarray(0, length), "gzip", 1e6));
      expect(failure.failure).toBe("bad-coding");
    }
  });

  it.each([
    ["bytes that are no gzip", Buffer.from("<html>")],
    ["no bytes", Buffer.alloc(0)],
    ["anything behind the end", Buffer.concat([gzipSync("{}"), Buffer.from("<!-- -->")])],
    [
      "behind the end what says that it is small",
      Buffer.concat([gzipSync("{}"), Buffer.from([1, 2, 0, 0, 0])]),
    ],
    ["behind the end another member", Buffer.concat([gzipSync("{}"), gzipSync("{}")])],
    ["zeros behind the end", Buffer.concat([gzipSync("{}"), Buffer.alloc(8)])],
  ])("refuses %s", async (_, bytes) => {
    expect(await failureOf(decodeBody(bytes, "gzip", 1e6))).toMatchObject({ failure: "bad-coding" });
  });

  it("decodes as much as is allowed, and not one byte more", async () => {
    const gzip = gzipSync(Buffer.alloc(1_000_000));
    expect(await decodeBody(gzip, "gzip", 1_000_000)).toHaveLength(1_000_000);
    expect(await failureOf(decodeBody(gzip, "gzip", 999_999))).toMatchObject({ failure: "too-large" });
  });

  it("is not taken in by a length that a gzip claims", async () => {
    const gzip = gzipSync(Buffer.alloc(100_000));
    for (const claimed of [1, 63, 64, 50_000, 100_001]) {
      gzip.writeUInt32LE(claimed, gzip.length - 4);
      expect(await failureOf(decodeBody(gzip, "gzip", 1e6))).toMatchObject({ failure: "bad-coding" });
    }
  });

  it("decodes small ones as large ones", async () => {
    for (const length of [0, 1, 62, 63, 64, 65, 65_535, 65_536, 65_537]) {
      const gzip = gzipSync(Buffer.alloc(length, "{}"));
      expect(await decodeBody(gzip, "gzip", length)).toEqual(Buffer.alloc(length, "{}"));
      if (length > 0)
        expect(await failureOf(decodeBody(gzip, "gzip", length - 1))).toMatchObject({ failure: "too-large" });
    }
  });

  it("hands an uncoded body through, within the same bound", async () => {
    const body = Buffer.from("{}\n");
    expect(await decodeBody(body, "identity", 3)).toBe(body);
    expect(await failureOf(decodeBody(body, "identity", 2))).toMatchObject({ failure: "too-large" });
  });
});
