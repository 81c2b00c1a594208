import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HtmlScanner } from "../../src/pypi/html-scanner.ts";
import { NotHtml } from "../../src/pypi/not-html.ts";
import { simpleHtmlPage } from "./simple-pages.ts";

type Event = readonly string[];

function eventsOf(bytes: Buffer, sliceBytes = 1_000_000): Event[] {
  const events: Event[] = [];
  const text = (start: number, end: number) => {
    expect(start).toBeLessThanOrEqual(end);
    return bytes.toString("latin1", start, end);
  };
  const scanner = new HtmlScanner(bytes, {
    startTag: (start, end) => events.push(["tag", text(start, end)]),
    endTag: (start, end) => events.push(["end", text(start, end)]),
    attribute: (nameStart, nameEnd, start, end) => events.push([text(nameStart, nameEnd), text(start, end)]),
    comment: (start, end) => events.push(["comment", text(start, end)]),
    rawText: (start, end) => events.push(["raw", text(start, end)]),
  });
  while (!scanner.scan(sliceBytes));
  return events;
}

const events = (text: string) => eventsOf(Buffer.from(text));

describe("HtmlScanner", () => {
  it("tells tags, attributes and comments of a page as PyPI writes it", () => {
    expect(
      events(
        '<!DOCTYPE html>\n<html lang="en">\n<a href="x#y" data-yanked="" >f</a><br />\n</html>\n<!--SERIAL 5-->',
      ),
    ).toEqual([
      ["tag", "html"],
      ["lang", "en"],
      ["tag", "a"],
      ["href", "x#y"],
      ["data-yanked", ""],
      ["end", "a"],
      ["tag", "br"],
      ["end", "html"],
      ["comment", "SERIAL 5"],
    ]);
  });

  it.each([
    ["double quotes", `<a x="a'>b">`, "a'>b"],
    ["single quotes", `<a x='a">b'>`, 'a">b'],
    ["no quotes", "<a x=a/b'c>", "a/b'c"],
    ["no quotes before a slash", "<a x=a/ >", "a/"],
    ["space around =", "<a x \n=\t'a'>", "a"],
    ["a line break within", '<a x="a\nb">', "a\nb"],
    ["nothing", "<a x>", ""],
    ["nothing after =", "<a x= >", ""],
    ["an empty one", "<a x=''>", ""],
    ["no space after the one before", `<a y="1"x="a">`, "a"],
    ["a slash before it", "<a/x=a>", "a"],
  ])("reads a value with %s", (_, text, value) => {
    expect(events(text)).toContainEqual(["x", value]);
  });

  it("reads an = that begins a name as part of it", () => {
    expect(events("<a =x=y>")).toEqual([
      ["tag", "a"],
      ["=x", "y"],
    ]);
  });

  it.each([
    "a < b",
    "<>",
    "</>",
    "<3",
    "< a href=x>",
    "&lt;a href=x>",
    "<!a href=x>",
    "<?a href=x>",
    "</ a href=x>",
  ])("comes upon nothing in %j", (text) => {
    expect(events(text)).toEqual([]);
  });

  it("tells no attributes of an end tag", () => {
    expect(events("</a href=x>")).toEqual([["end", "a"]]);
  });

  it.each([
    ["<!---->", ""],
    ["<!-->", ""],
    ["<!--->", ""],
    ["<!--a-->", "a"],
    ["<!--a--!>", "a"],
    ["<!--!>a-->", "!>a"],
    ["<!--a-- >b-->", "a-- >b"],
    ["<!-- <a href=x> --- -->", " <a href=x> --- "],
    ["<!--a--->", "a-"],
  ])("reads %j as a comment", (text, comment) => {
    expect(events(`${text}x`)).toEqual([["comment", comment]]);
  });

  it.each(["script", "STYLE", "title", "textarea", "xmp", "iframe", "noembed", "noframes"])(
    "comes upon no tags within <%s>",
    (name) => {
      const within = `<a href=x></${name}x><!-- </ ${name}>`;
      expect(events(`<${name} y=1>${within}</${name.toLowerCase()} z>`)).toEqual([
        ["tag", name],
        ["y", "1"],
        ["raw", within],
        ["end", name.toLowerCase()],
      ]);
    },
  );

  it("comes upon the same in slices of any size", () => {
    fc.assert(
      fc.property(simpleHtmlPage, fc.integer({ min: 1, max: 20 }), (bytes, sliceBytes) => {
        expect(eventsOf(bytes, sliceBytes)).toEqual(eventsOf(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it("reads any bytes whatever, or says where they are cut short", () => {
    const pieces = fc
      .array(
        fc.oneof(
          fc.constantFrom("<", ">", "</", "<a", "<!--", "--", "=", '"', "'", "/", " ", "title"),
          fc.string(),
        ),
      )
      .map((list) => list.join(""));
    fc.assert(
      fc.property(pieces, (text) => {
        try {
          events(text);
        } catch (error) {
          expect(error).toBeInstanceOf(NotHtml);
          expect((error as NotHtml).offset).toBe(Buffer.byteLength(text));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["<a", "a tag's name"],
    ["<a ", "a tag"],
    ["<a b", "an attribute's name"],
    ["<a b ", "the room after an attribute's name"],
    ["<a b= ", "the room before a value"],
    ["<a b='c", "a quoted value"],
    ["<a b=c", "an unquoted value"],
    ["<!--SERIAL 5", "a comment"],
    ["<!DOCTYPE", "a declaration"],
    ["<title>Links", "an element of raw text"],
  ])("says of %j that it ends within %s", (text, within) => {
    expect(() => events(text)).toThrow(`it ends within ${within}, at byte ${text.length}`);
  });

  it("stops after about the slice asked for, wherever it is", () => {
    const ignore = () => undefined;
    for (const text of [
      "x".repeat(900),
      `<!--${"-".repeat(900)}-->`,
      `<a b="${"c".repeat(900)}">`,
      `<${"a".repeat(900)}>`,
    ]) {
      const scanner = new HtmlScanner(Buffer.from(text), {
        startTag: ignore,
        endTag: ignore,
        attribute: ignore,
        comment: ignore,
        rawText: ignore,
      });
      let turns = 1;
      while (!scanner.scan(250)) turns++;
      expect(turns).toBe(4);
    }
  });
});
