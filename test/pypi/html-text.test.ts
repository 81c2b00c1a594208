import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { afterHtmlPrefix, encodeHtmlText, isHtmlName } from "../../src/pypi/html-text.ts";
import { decodeHtml } from "./simple-pages.ts";

const prefixEnd = (value: string, text: string): number => {
  const bytes = Buffer.from(`"${value}"`);
  return afterHtmlPrefix(bytes, 1, bytes.length - 1, Buffer.from(text));
};

describe("afterHtmlPrefix", () => {
  it.each([
    ["https://a/b", "https://a", 10],
    ["https&#58;//a", "https:", 11],
    ["https&#x3A;//a", "https:", 12],
    ["https&colon;&sol;&sol;a", "https://a", 24],
    ["&#0000104;t", "ht", 12],
    ["a&amp;b", "a&b", 8],
    ["a&b", "a&b", 4],
    ["a&#58b", "a:b", 7], // a parse error, but the semicolon may be missing
    ["&nope;x", "&", 2],
    ["abc", "", 1],
  ])("finds where in %s the text %j ends", (value, text, end) => {
    expect(prefixEnd(value, text)).toBe(end);
  });

  it.each([
    ["a", "ab"],
    ["", "a"],
    ["&#x161;", "a"], // its low byte is that of "a"
    ["&nope;", ":"],
    ["&Colon;", ":"], // that is another character
    ["a&amp", "a&b"],
    ["ab", 'ab"'], // the quote that closes it is no part of it
  ])("does not find that %s begins with %j", (value, text) => {
    expect(prefixEnd(value, text)).toBe(-1);
  });
});

describe("encodeHtmlText", () => {
  it("writes any text so that no quote, no space and no encoding of the page can break it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const encoded = encodeHtmlText(text).toString("latin1");
        expect(encoded).toMatch(/^[!#$%&()*+,\-./0-9:;?@A-Z[\\\]^_a-z{|}~]*$/);
        expect(decodeHtml(encoded)).toBe(text);
      }),
    );
  });

  it("writes a character beyond 16 bits as one reference", () => {
    expect(encodeHtmlText("😀").toString()).toBe("&#128512;");
  });

  it("leaves a base URL as it is", () => {
    expect(encodeHtmlText("https://larder.corp:8080/py-pi_1/~x").toString()).toBe(
      "https://larder.corp:8080/py-pi_1/~x",
    );
  });
});

describe("isHtmlName", () => {
  it.each([
    ["href", true],
    ["HREF", true],
    ["hReF", true],
    ["hre", false],
    ["hrefs", false],
    ["h\u0012ef", false],
  ])("tells of %j whether it is href: %s", (text, is) => {
    const bytes = Buffer.from(text);
    expect(isHtmlName(bytes, 0, bytes.length, Buffer.from("href"))).toBe(is);
  });

  it("does not take a control character for the dash whose bits it nearly has", () => {
    expect(isHtmlName(Buffer.from("a\rb"), 0, 3, Buffer.from("a-b"))).toBe(false);
  });
});
