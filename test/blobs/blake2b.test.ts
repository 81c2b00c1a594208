import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBlake2b256, resumeBlake2b256 } from "../../src/blobs/blake2b.ts";
import { blake2b256 } from "../support/packages/blake2b.ts";

describe("BLAKE2b-256", () => {
  it("is that of Python's hashlib.blake2b(digest_size=32)", async () => {
    const hash = await createBlake2b256();
    expect(hash.digest()).toBe("0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  });

  it("is the same in whatever pieces the bytes come, and through a state that was saved", async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.nat(6), async (parts, cut) => {
        const first = await createBlake2b256();
        for (const part of parts.slice(0, cut)) first.update(Buffer.from(part));
        const second = await resumeBlake2b256(first.save());
        for (const part of parts.slice(cut)) {
          first.update(Buffer.from(part));
          second.update(Buffer.from(part));
        }
        const expected = blake2b256(Buffer.concat(parts));
        expect([first.digest(), second.digest()]).toEqual([expected, expected]);
      }),
      { numRuns: 60 },
    );
  });

  it("of two files at a time does not mix them", async () => {
    const [a, b] = [await createBlake2b256(), await createBlake2b256()];
    a.update(Buffer.from("a"));
    b.update(Buffer.from("b"));
    expect([a.digest(), b.digest()]).toEqual([blake2b256(Buffer.from("a")), blake2b256(Buffer.from("b"))]);
  });
});
