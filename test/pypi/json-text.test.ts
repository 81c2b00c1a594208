import { describe, expect, it } from "vitest";
import { afterPrefix, decodeText, encodeText, isText } from "../../src/pypi/json-text.ts";

const prefixEnd = (contents: string, text: string): number => {
  const bytes = Buffer.from(`"${contents}"`);
  return afterPrefix(bytes, 1, bytes.length - 1, Buffer.from(text));
};

describe("afterPrefix", () => {
  it.each([
    ["abc", "ab", 3],
    ["ab", "ab", 3],
    ["\\u0061bc", "ab", 8],
    ["a\\u0062", "ab", 8],
    ['\\/\\\\\\"x', '/\\"', 7],
    ["\\b\\f\\n\\r\\tx", "\b\f\n\r\t", 11],
    ["abc", "", 1],
  ])("finds where in %s the text %j ends", (contents, text, end) => {
    expect(prefixEnd(contents, text)).toBe(end);
  });

  it.each([
    ["a", "ab"],
    ["", "a"],
    ["\\n", "n"],
    ["\\u0161", "a"], // its low byte is that of "a"
    ["ab", 'ab"'], // the quote that closes it is no part of it
  ])("does not find that %s begins with %j", (contents, text) => {
    expect(prefixEnd(contents, text)).toBe(-1);
  });
});

describe("isText", () => {
  it("takes a whole string for a text, not its beginning", () => {
    const bytes = Buffer.from('"\\u0075rls"');
    expect(isText(bytes, 1, 10, Buffer.from("urls"))).toBe(true);
    expect(isText(bytes, 1, 10, Buffer.from("url"))).toBe(false);
  });
});

describe("encodeText and decodeText", () => {
  it("give back any text", () => {
    const text = 'é😀"\\/\n\u0000';
    const bytes = encodeText(text);
    expect(decodeText(bytes, 0, bytes.length)).toBe(text);
  });
});
