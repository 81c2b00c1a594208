import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonScanner, MAX_DEPTH, MAX_NUMBER_BYTES } from "../../src/pypi/json-scanner.ts";
import { NotJson } from "../../src/pypi/not-json.ts";

type Event = readonly [kind: string, text: string];

function eventsOf(bytes: Buffer, sliceBytes: number): Event[] {
  const events: Event[] = [];
  const note = (kind: string) => (start: number, end: number) => {
    events.push([kind, bytes.toString("latin1", start, end)]);
  };
  const scanner = new JsonScanner(bytes, {
    key: note("key"),
    string: note("string"),
    number: note("number"),
    open: (container) => events.push(["open", container]),
    close: () => events.push(["close", ""]),
  });
  while (!scanner.scan(sliceBytes));
  return events;
}

function accepts(bytes: Buffer, sliceBytes = 1_000_000): boolean {
  try {
    eventsOf(bytes, sliceBytes);
    return true;
  } catch (error) {
    if (error instanceof NotJson) return false;
    throw error;
  }
}

/** What JSON.parse says of the same bytes; a byte that is no UTF-8 is U+FFFD to it, within strings and without. */
function parsesToObject(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

const notJson = (text: string): NotJson => {
  try {
    eventsOf(Buffer.from(text), 1_000_000);
  } catch (error) {
    if (error instanceof NotJson) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
};

const document = fc
  .tuple(
    fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue()),
    fc.constantFrom("", " ", "\t", "\r\n  "),
  )
  .map(([value, indent]) => Buffer.from(`${indent}${JSON.stringify(value, undefined, indent)}${indent}`));

const bytesThatMatter = fc.oneof(
  fc.constantFrom(...Buffer.from('{}[]:,"\\/ \n\t\r0123456789-+.eEtrufalsn\0\x1f\x7f')),
  fc.nat(255),
);

/** A document with a few bytes replaced, removed, put in, or the rest cut off. */
const mutilated = fc
  .tuple(
    document,
    fc.array(fc.tuple(fc.nat(3), fc.double({ min: 0, max: 1, noNaN: true }), bytesThatMatter), {
      maxLength: 3,
    }),
  )
  .map(([bytes, edits]) =>
    edits.reduce((before, [edit, where, byte]) => {
      const at = Math.floor(where * before.length);
      const put = edit === 0 || edit === 1 ? [Buffer.of(byte)] : [];
      const rest = edit === 3 ? [] : [before.subarray(edit === 1 ? at : at + 1)];
      return Buffer.concat([before.subarray(0, at), ...put, ...rest]);
    }, bytes),
  );

/** Pieces of JSON in a row: nearly JSON more often than bytes at random. */
const pieces = fc
  .array(
    fc.constantFrom(
      ..."{ } [ ] , :".split(" "),
      ...[
        '"k":',
        '"k"',
        "1",
        "-",
        "0",
        "01",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e+",
        "1E-3",
        "-0",
        "+1",
        "NaN",
        "\ufeff",
      ],
      ...[
        "true",
        "false",
        "null",
        "tru",
        "nul",
        "True",
        '"\\u00e9"',
        '"\\u00g0"',
        '"\\x"',
        '"\\"',
        '"\n"',
        '"é"',
        "'k'",
      ],
    ),
    { maxLength: 9 },
  )
  .map((parts) => Buffer.from(`{"a":${parts.join("")}}`));

describe("JsonScanner", () => {
  it("accepts what JSON.parse accepts and gives an object, and nothing else", () => {
    fc.assert(
      fc.property(fc.oneof(mutilated, pieces), fc.integer({ min: 1, max: 50 }), (bytes, sliceBytes) => {
        expect(accepts(bytes, sliceBytes)).toBe(parsesToObject(bytes));
      }),
      { numRuns: 3_000 },
    );
  });

  it("comes upon the same in slices of any size", () => {
    fc.assert(
      fc.property(document, fc.integer({ min: 1, max: 20 }), (bytes, sliceBytes) => {
        expect(eventsOf(bytes, sliceBytes)).toEqual(eventsOf(bytes, 1_000_000));
      }),
    );
  });

  it("stops after about the slice asked for, even within a string", () => {
    const bytes = Buffer.from(`{"a":"${"x".repeat(1_000)}"}`);
    const ignore = () => undefined;
    const scanner = new JsonScanner(bytes, {
      key: ignore,
      string: ignore,
      number: ignore,
      open: ignore,
      close: ignore,
    });
    const turns = [0, 0, 0, 0, 0].map(() => scanner.scan(250));
    expect(turns).toEqual([false, false, false, false, true]);
  });

  it("tells where a container begins and where it has ended", () => {
    const bytes = Buffer.from(' {"a" : [ {}, 1 ]}\n');
    const starts: number[] = [];
    const found: string[] = [];
    const ignore = () => undefined;
    const scanner = new JsonScanner(bytes, {
      key: ignore,
      string: ignore,
      number: ignore,
      open: (_, start) => starts.push(start),
      close: (end) => found.push(bytes.toString("latin1", starts.pop(), end)),
    });
    expect(scanner.scan(1_000)).toBe(true);
    expect(found).toEqual(["{}", "[ {}, 1 ]", '{"a" : [ {}, 1 ]}']);
  });

  it("tells keys from strings, and numbers, in order and undecoded", () => {
    expect(eventsOf(Buffer.from(' {"a" : ["b\\n", -1.5e3, true, {}], "c": null}\n'), 1_000)).toEqual([
      ["open", "object"],
      ["key", "a"],
      ["open", "array"],
      ["string", "b\\n"],
      ["number", "-1.5e3"],
      ["open", "object"],
      ["close", ""],
      ["close", ""],
      ["key", "c"],
      ["close", ""],
    ]);
  });

  it.each([
    ["", 0, "expected '{' at byte 0, found the end"],
    ["<!DOCTYPE html>", 0, "expected '{' at byte 0, found '<'"],
    ["[]", 0, "expected '{'"],
    ["null", 0, "expected '{'"],
    ["\ufeff{}", 0, "found 0xef"],
    ["{", 1, "expected a key or '}' at byte 1, found the end"],
    ['{"a":1,}', 7, "expected a key at byte 7, found '}'"],
    ['{"a" 1}', 5, "expected ':'"],
    ['{"a":}', 5, "expected a value at byte 5"],
    ['{"a":[,]}', 6, "expected a value or ']'"],
    ['{"a":[1,]}', 8, "expected a value at byte 8, found ']'"],
    ['{"a":[1}', 7, "expected ',' or the close at byte 7, found '}'"],
    ['{"a":1]', 6, "expected ',' or the close"],
    ['{"a":01}', 6, "expected ',' or the close"],
    ['{"a":-}', 6, "expected a digit"],
    ['{"a":nulL}', 8, "expected null at byte 8, found 'L'"],
    ['{"a":"b', 7, "expected string text at byte 7, found the end"],
    ['{"a', 3, "expected key text at byte 3, found the end"],
    ['{"a":"\\', 7, "expected an escape at byte 7, found the end"],
    ['{"a":"\\u12"}', 10, "expected a hexadecimal digit"],
    ['{"a":"\t"}', 6, "expected no control character in a string at byte 6, found 0x09"],
    ["{}{}", 2, "expected nothing more at byte 2, found '{'"],
    ["{\f}", 1, "expected a key or '}' at byte 1, found 0x0c"],
    ["{}\0", 2, "expected nothing more at byte 2, found 0x00"],
  ])("refuses %j at byte %i: %s", (text, offset, message) => {
    const error = notJson(text);
    expect(error.offset).toBe(offset);
    expect(error.message).toContain(message);
  });

  // Where it differs from JSON.parse, which has no such bounds.
  it("accepts the deepest nesting allowed and refuses one level more", () => {
    const nested = (depth: number) => Buffer.from(`{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`);
    expect(accepts(nested(MAX_DEPTH))).toBe(true);
    expect(accepts(nested(MAX_DEPTH + 1))).toBe(false);
    expect(accepts(Buffer.from(`{"a":${'{"a":['.repeat(1_000_000)}`))).toBe(false);
  });

  it("refuses a number that goes on for ever", () => {
    const number = (digits: number) => Buffer.from(`{"a":${"1".repeat(digits)}}`);
    expect(accepts(number(MAX_NUMBER_BYTES))).toBe(true);
    expect(accepts(number(MAX_NUMBER_BYTES + 1))).toBe(false);
    expect(accepts(Buffer.from(`{"a":1.5e${"1".repeat(MAX_NUMBER_BYTES)}}`))).toBe(false);
  });

  it("lets bytes that are no UTF-8 pass within strings, and there only", () => {
    expect(accepts(Buffer.from('{"a":"\xff\xc3"}', "latin1"))).toBe(true);
    expect(accepts(Buffer.from('{"a":\xff}', "latin1"))).toBe(false);
  });
});
