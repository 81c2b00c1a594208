import fc from "fast-check";
import { expect, it } from "vitest";
import { plainEnd } from "../../src/pypi/json-runs.ts";

function plainEndByByte(bytes: Uint8Array, at: number, limit: number): number {
  while (at < limit && (bytes[at] ?? 0) >= 0x20 && bytes[at] !== 0x22 && bytes[at] !== 0x5c) at++;
  return at;
}

// Neighbours of what is looked for, and of where bytes change their sign.
const byte = fc.oneof(
  fc.integer({ min: 0x20, max: 0xff }),
  fc.constantFrom(0x00, 0x01, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff),
);

it("finds the end of what means itself as a look at each byte does, wherever the bytes lie", () => {
  fc.assert(
    fc.property(
      fc.array(byte, { maxLength: 40 }),
      fc.nat(3),
      fc.nat(44),
      fc.nat(40),
      (values, lead, at, limit) => {
        const bytes = new Uint8Array(new ArrayBuffer(lead + values.length), lead);
        bytes.set(values);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const end = Math.min(limit, values.length);
        expect(plainEnd(view, at, end)).toBe(plainEndByByte(bytes, at, end));
      },
    ),
    { numRuns: 2_000 },
  );
});

it("sees each byte that does not mean itself at each place of a word", () => {
  for (let special = 0; special < 0x100; special++) {
    for (let place = 0; place < 8; place++) {
      const bytes = new Uint8Array(11).fill(0xff);
      bytes[place] = special;
      expect(plainEnd(new DataView(bytes.buffer), 0, 11)).toBe(plainEndByByte(bytes, 0, 11));
    }
  }
});
