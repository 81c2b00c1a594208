import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ByteRange,
  contentRange,
  isSameRepresentation,
  selectRange,
} from "../../src/routes/byte-ranges.ts";
import { multipart } from "../../src/routes/multipart.ts";

const one = (startAt: number, endAt: number) => ({ kind: "one", range: { startAt, endAt } });
const WHOLE = { kind: "whole" };
const UNSATISFIABLE = { kind: "unsatisfiable" };

describe("a Range of a file of 1000 bytes", () => {
  it.each([
    [undefined, WHOLE],
    // RFC 9110 §14.1.2: its own examples, for 10000 bytes there.
    ["bytes=0-499", one(0, 500)],
    ["bytes=500-999", one(500, 1000)],
    ["bytes=-500", one(500, 1000)],
    ["bytes=500-", one(500, 1000)],
    ["bytes=999-", one(999, 1000)],
    ["bytes=0-", one(0, 1000)],
    ["bytes=0-5000", one(0, 1000)],
    ["bytes=-1000", one(0, 1000)],
    ["bytes=-1001", one(0, 1000)],
    ["bytes=-99999999999999999999999", one(0, 1000)],
    ["bytes=0-99999999999999999999999", one(0, 1000)],
    ["BYTES=1-1", one(1, 2)],
    [" bytes = 1-1 , ", one(1, 2)],
    ["bytes=1000-", UNSATISFIABLE],
    ["bytes=99999999999999999999999-", UNSATISFIABLE],
    ["bytes=-0", UNSATISFIABLE],
    ["bytes=1000-,-0", UNSATISFIABLE],
    ["bytes=1000-,5-6", one(5, 7)],
    ["bytes=5-4", WHOLE],
    ["bytes=0-1,5-4", WHOLE],
    ["bytes=-", WHOLE],
    ["bytes=", WHOLE],
    ["bytes=,", WHOLE],
    ["bytes=a-b", WHOLE],
    ["bytes=1-2-3", WHOLE],
    ["bytes=+1-2", WHOLE],
    ["bytes=1.5-2", WHOLE],
    ["bytes 0-1", WHOLE],
    ["items=0-1", WHOLE],
    ["", WHOLE],
    ["bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", WHOLE],
  ])("%j is %j", (header, expected) => {
    expect(selectRange(header, 1000)).toEqual(expected);
  });

  it("in several parts keeps their order, and joins those that overlap or touch", () => {
    const parts = (...ranges: [number, number][]) => ({
      kind: "several",
      ranges: ranges.map(([startAt, endAt]) => ({ startAt, endAt })),
    });
    expect(selectRange("bytes=500-599,0-9", 1000)).toEqual(parts([500, 600], [0, 10]));
    expect(selectRange("bytes=500-599,0-9,5-19", 1000)).toEqual(parts([0, 20], [500, 600]));
    expect(selectRange("bytes=0-9,10-19", 1000)).toEqual(one(0, 20));
    expect(selectRange("bytes=0-9,-991", 1000)).toEqual(one(0, 1000));
  });

  it("has nothing to choose from where the file is empty", () => {
    for (const header of ["bytes=0-", "bytes=-5", "bytes=0-0"]) {
      expect(selectRange(header, 0)).toEqual(UNSATISFIABLE);
    }
  });
});

/** What RFC 9110 §14.1.2 says byte by byte, with no arithmetic to get wrong. */
function named(specs: readonly [number | undefined, number | undefined][], bytes: number): Set<number> {
  const all = Array.from({ length: bytes }, (_, at) => at);
  return new Set(
    specs.flatMap(([first, last]) =>
      first === undefined
        ? all.slice(-(last ?? 0) || bytes)
        : all.filter((at) => at >= first && at <= (last ?? at)),
    ),
  );
}

const position = fc.nat(60);
const spec = fc.oneof(
  fc.tuple(position, position).map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]),
  fc.tuple(position, fc.constant(undefined)),
  fc.tuple(fc.constant(undefined), position),
);

function rangesOf(selection: ReturnType<typeof selectRange>): readonly ByteRange[] {
  if (selection.kind === "one") return [selection.range];
  return selection.kind === "several" ? selection.ranges : [];
}

describe("any Range", () => {
  it("selects exactly the bytes that it names, each once", () => {
    fc.assert(
      fc.property(fc.array(spec, { minLength: 1, maxLength: 8 }), fc.nat(50), (specs, bytes) => {
        const header = `bytes=${specs.map(([a, b]) => `${a ?? ""}-${b ?? ""}`).join(",")}`;
        const selection = selectRange(header, bytes);
        const selected = rangesOf(selection).flatMap(({ startAt, endAt }) =>
          Array.from({ length: endAt - startAt }, (_, i) => startAt + i),
        );
        expect(selected.toSorted((a, b) => a - b)).toEqual([...named(specs, bytes)].sort((a, b) => a - b));
        expect(selection.kind === "unsatisfiable").toBe(selected.length === 0);
        expect(selection.kind).not.toBe("whole");
      }),
    );
  });

  it("of whatever text never throws, and never leaves the file", () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^bytes=[0-9,-]{0,40}$/));
    fc.assert(
      fc.property(text, fc.nat(), (header, bytes) => {
        for (const { startAt, endAt } of rangesOf(selectRange(header, bytes))) {
          expect(0 <= startAt && startAt < endAt && endAt <= bytes).toBe(true);
        }
      }),
    );
  });

  it("in several parts makes a body of exactly the length that is announced", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(position, position), { maxLength: 8 }), (pairs) => {
        const ranges = pairs.map(([a, b]) => ({ startAt: Math.min(a, b), endAt: Math.max(a, b) + 1 }));
        const of = { boundary: "b", bytes: 100, contentType: "application/octet-stream" };
        const { pieces, bytes } = multipart(ranges, of);
        const file = Buffer.alloc(100);
        const whole = Buffer.concat(
          pieces.map((piece) => (Buffer.isBuffer(piece) ? piece : file.subarray(piece.startAt, piece.endAt))),
        );
        expect(whole.length).toBe(bytes);
        expect(whole.toString().match(/--b\r\n/g) ?? []).toHaveLength(ranges.length);
      }),
    );
  });
});

describe("If-Range", () => {
  const MODIFIED = "Thu, 17 Aug 2023 17:29:12 GMT";

  it.each([
    [undefined, true],
    ['"a"', true],
    [MODIFIED, true],
    ['W/"a"', false],
    ['"b"', false],
    ["Thu, 17 Aug 2023 17:29:13 GMT", false],
    ["", false],
  ])("%j lets a Range through: %j", (header, expected) => {
    expect(isSameRepresentation(header, '"a"', MODIFIED)).toBe(expected);
  });

  it("of a date does not let through where there is none to compare with", () => {
    expect(isSameRepresentation(MODIFIED, '"a"', undefined)).toBe(false);
  });
});

it("Content-Range counts from 0 and names the last byte, not the one after it", () => {
  expect(contentRange({ startAt: 0, endAt: 1 }, 1)).toBe("bytes 0-0/1");
  expect(contentRange({ startAt: 5, endAt: 1000 }, 1000)).toBe("bytes 5-999/1000");
});
