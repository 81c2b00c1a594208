import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteSpans } from "../../src/pypi/byte-spans.ts";
import { filesMove, provenanceMove } from "../../src/pypi/file-urls.ts";
import { encodeHtmlText } from "../../src/pypi/html-text.ts";
import { NotHtml } from "../../src/pypi/not-html.ts";
import { scanSimpleHtml, type SimpleHtmlView } from "../../src/pypi/simple-html.ts";
import { FILES_HOST, recordings } from "./json-documents.ts";
import { watchLoop } from "../support/loop-watch.ts";
import { decodeHtml, INDEX_HOST, linkSpans, simpleHtmlPage } from "./simple-pages.ts";
import { rewriteSimpleHtml } from "./rewriting.ts";

const scan = (text: string) => scanSimpleHtml(Buffer.from(text)) as SimpleHtmlView;

const pairsOf = (spans: ByteSpans): [number, number][] =>
  Array.from({ length: spans.count }, (_, i) => [spans.start(i), spans.end(i)]);

const urls = (text: string): string[] =>
  pairsOf(scan(text).urls).map(([start, end]) => text.slice(start, end));

const movesTo = (base: string) => [filesMove(FILES_HOST, base), provenanceMove(INDEX_HOST, `${base}/i`)];

const rewrite = async (bytes: Buffer, base: string): Promise<Buffer> =>
  rewriteSimpleHtml(bytes, await scanSimpleHtml(bytes), movesTo(base));

const rewriteText = async (text: string, base: string): Promise<string> =>
  (await rewrite(Buffer.from(`${text}<!--SERIAL 1-->`), base)).toString().replace("<!--SERIAL 1-->", "");

/** A value as it must stand in the page afterwards: what is written behind the host stays as it is written. */
function movedValue(written: string, base: string): string {
  const units = written.match(/&(?:#\d+|#[xX][0-9a-fA-F]+|[a-z]+);|[^]/g) ?? [];
  for (const { from, path, to } of movesTo(base)) {
    if (!decodeHtml(written).startsWith(from + path)) continue;
    let host = "";
    let taken = 0;
    while (host.length < from.length) host += decodeHtml(units[taken++]!);
    if (host === from) return encodeHtmlText(to).toString("latin1") + units.slice(taken).join("");
  }
  return written;
}

/** The page rewritten by way of regular expressions. */
function expectedPage(bytes: Buffer, base: string): string {
  const page = bytes.toString("latin1");
  let written = "";
  let read = 0;
  for (const [start, end] of linkSpans(bytes)) {
    written += page.slice(read, start) + movedValue(page.slice(start, end), base);
    read = end;
  }
  return written + page.slice(read);
}

const recorded = recordings("simple-html");

describe("scanSimpleHtml", () => {
  it("finds the links that regular expressions find", () => {
    let found = 0;
    fc.assert(
      fc.property(simpleHtmlPage, (bytes) => {
        const view = scanSimpleHtml(bytes) as SimpleHtmlView;
        expect(pairsOf(view.urls)).toEqual(linkSpans(bytes));
        expect(view.lastSerial).toBe(7);
        found += view.urls.count;
      }),
      { numRuns: 2_000 },
    );
    expect(found).toBeGreaterThan(500); // else the pages have nothing to find
  });

  it.skipIf(recorded.length === 0)(
    "does so in every recorded page (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const { urls: spans, lastSerial } = await scanSimpleHtml(bytes);
        const page = bytes.toString("latin1");
        expect(pairsOf(spans), name).toEqual(linkSpans(bytes));
        expect(spans.count, name).toBe(
          page.split(/<a /).length - 1 + page.split(" data-provenance=").length - 1,
        );
        const serial = /<!--SERIAL (\d+)-->/.exec(page)?.[1];
        expect(lastSerial, name).toBe(serial === undefined ? undefined : Number(serial));
      }
    },
  );

  it("finds links whatever their quotes, case, order and white space", () => {
    expect(
      urls(
        "<!--SERIAL 1--><a href=\"a\" data-provenance='b'><A class=x HREF = c ><a data-provenance=d\nhref='e&amp;f'>" +
          '<a href="g"href=h><a data-requires-python=">=3" href=i/>',
      ),
    ).toEqual(["a", "b", "c", "d", "e&amp;f", "g", "h", "i/"]);
  });

  it.each([
    "<link href=x>",
    "<area href=x>",
    "<abbr href=x>",
    "<a data-href=x>",
    "<a hrefs=x>",
    "<a href>",
    "<a href=''>",
    "<!-- <a href=x> -->",
    "<title><a href=x></title>",
    "<script>'<a href=x>'</script>",
    "</a href=x>",
    "<p data-provenance=x>",
    "<p title='<a href=x>'>",
  ])("does not take a link from %s", (text) => {
    expect(urls(`${text}<!--SERIAL 1-->`)).toEqual([]);
  });

  it.each([
    ["<!--SERIAL 26356948-->", 26_356_948],
    ["<!-- SERIAL 5 -->", 5],
    ["<!--SERIAL 5--><!--SERIAL 6-->", 6],
    ["<!--SERIAL 99999999999999999999-->", undefined],
    ["<!--SERIAL -5--><title>Links for x</title>", undefined],
    ["<!--serial 5--><title>Links for x</title>", undefined],
    ["<title>Links for x <!--SERIAL 5--></title>", undefined],
    ["&lt;!--SERIAL 5--><title>Links for x</title>", undefined],
  ])("reads the serial of %s as %s", (text, serial) => {
    expect(scan(text).lastSerial).toBe(serial);
  });

  it.each([
    [
      "an empty list, as PyPI has it",
      '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta name="pypi:repository-version" content="1.4">\n<meta name="pypi:project-status" content="quarantined">    <title>Links for x</title>\n  </head>\n  <body>\n    <h1>Links for x</h1>\n</body>\n</html>\n<!--SERIAL 5-->',
    ],
    ["a serial alone", "<!--SERIAL 5-->"],
    ["a version alone", "<META content=1.0 NAME='pypi:repository-version'>"],
    ["a title alone", "<html><title> Links for x</title></html>"],
    [
      "nothing but links to files, as of other upstreams",
      "<a href='../x-1.0-py3-none-any.whl#sha256=ab'>x</a>",
    ],
    ["a link to an sdist behind a query", "<a href=/x>up</a><a href=x-1.0.TAR.GZ?a=b>x</a>"],
  ])("takes a page with %s", (_, text) => {
    expect(scan(text).urls).toBeDefined();
  });

  it.each([
    [
      "a challenge",
      "<html><head><title>Client Challenge</title></head><body><script src='/x.js'></script></body></html>",
    ],
    [
      "an error page with a link",
      "<html><title>503</title><a href='https://status.example/'>status</a></html>",
    ],
    ["a login page", "<html><form action=/login></form><a href=/register>Links for you</a></html>"],
    ["a page that only talks of files", "<html>x-1.0.tar.gz <p title='Links for x'></html>"],
    [
      "another page of the web with metas",
      "<html><meta name=viewport content='pypi:repository-version'></html>",
    ],
    ["another text with the title of one", "<html><textarea>Links for x</textarea></html>"],
    ["an anchor with nothing but an attestation", "<a data-provenance=x.whl>x</a>"],
    ["nothing", ""],
    ["text", "404 Not Found"],
    ["JSON", '{"files":[{"url":"x-1.0.tar.gz"}]}'],
  ])("refuses %s", (_, text) => {
    expect(() => scan(text)).toThrow(NotHtml);
  });

  const others = recordings("other").filter(({ name }) => name.endsWith(".html"));
  it.skipIf(others.length === 0)(
    "refuses every recorded page of an error or a redirect (skipped where there is no corpus)",
    () => {
      for (const { name, bytes } of others) expect(() => scanSimpleHtml(bytes), name).toThrow(NotHtml);
    },
  );

  it("refuses a page cut short anywhere before the end of its <html>", () => {
    const page =
      '<html lang="en">\n<meta name="pypi:repository-version" content="1.4">\n<a href="x.whl">x</a>\n</html>';
    for (let end = 0; end < page.length; end++)
      expect(() => scan(page.slice(0, end)), `${end}`).toThrow(NotHtml);
    expect(urls(page)).toEqual(["x.whl"]);
  });

  it("refuses a large one by the promise", async () => {
    const cut = Buffer.from(`<html>${"<a href=x.whl>x</a>".repeat(20_000)}`);
    await expect(Promise.resolve(scanSimpleHtml(cut))).rejects.toThrow("it ends before </html>");
  });
});

describe("rewriteSimpleHtml", () => {
  it("gives what regular expressions give, and leaves every other byte as it is", async () => {
    let rewritten = 0;
    const base = fc.constantFrom("https://larder.corp/pypi", "../..", "", "https://q\"u'o&t<e> é");
    await fc.assert(
      fc.asyncProperty(simpleHtmlPage, base, async (bytes, to) => {
        const after = await rewrite(bytes, to);
        expect(after.toString("latin1")).toBe(expectedPage(bytes, to));
        if (after !== bytes) rewritten++;
      }),
      { numRuns: 2_000 },
    );
    expect(rewritten).toBeGreaterThan(500); // else the pages have nothing to find
  });

  it("keeps the number of links, and their targets but for the host", async () => {
    await fc.assert(
      fc.asyncProperty(simpleHtmlPage, async (bytes) => {
        const before = linkSpans(bytes).map(([start, end]) =>
          decodeHtml(bytes.toString("latin1", start, end)),
        );
        const page = await rewrite(bytes, "../..");
        const after = linkSpans(page).map(([start, end]) => decodeHtml(page.toString("latin1", start, end)));
        expect(after).toEqual(
          before.map((url) =>
            url
              .replace(/^https:\/\/files\.pythonhosted\.org(?=\/packages\/)/, "../..")
              .replace(/^https:\/\/pypi\.org(?=\/integrity\/)/, "../../i"),
          ),
        );
      }),
      { numRuns: 500 },
    );
  });

  it.skipIf(recorded.length === 0)(
    "changes nothing of a recorded page but the hosts (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const expected = bytes
          .toString("latin1")
          .replaceAll(`href="${FILES_HOST}/packages/`, 'href="../../packages/')
          .replaceAll(`data-provenance="${INDEX_HOST}/integrity/`, 'data-provenance="../../i/integrity/');
        expect((await rewrite(bytes, "../..")).toString("latin1") === expected, name).toBe(true);
      }
    },
  );

  it("keeps the fragment, and finds a host through its references", async () => {
    expect(
      await rewriteText(
        `<a href="${FILES_HOST}/packages/f?x&amp;y#sha256=ab" data-x="${FILES_HOST}">`,
        "../..",
      ),
    ).toBe(`<a href="../../packages/f?x&amp;y#sha256=ab" data-x="${FILES_HOST}">`);
    expect(
      await rewriteText("<a href=https&#58;&sol;/files.pythonhosted.org/packages&#x2F;f&#46;zip>", "../.."),
    ).toBe("<a href=../../packages&#x2F;f&#46;zip>");
  });

  it("escapes the target for quotes of any kind", async () => {
    expect(await rewriteText(`<a href=${FILES_HOST}/packages/f>`, "a b\"c'd>&")).toBe(
      "<a href=a&#32;b&#34;c&#39;d&#62;&#38;/packages/f>",
    );
  });

  it("moves links that begin at the root, where no host is to be replaced", async () => {
    const bytes = Buffer.from("<a href='/packages/x.whl'><a href='x/packages/y.whl'>");
    const after = await rewriteSimpleHtml(bytes, await scanSimpleHtml(bytes), [filesMove("", "/pypi")]);
    expect(after.toString()).toBe("<a href='/pypi/packages/x.whl'><a href='x/packages/y.whl'>");
  });

  it("gives back the same Buffer where nothing moves", async () => {
    const bytes = Buffer.from(
      `<a href="${FILES_HOST}.evil.example/packages/f"><a href="x.whl"><!--SERIAL 1-->`,
    );
    expect(await rewrite(bytes, "../..")).toBe(bytes);
  });

  const anchor = (files: string, index: string) =>
    `<a href="${files}/packages/aa/f.zip#sha256=00" data-provenance="${index}/integrity/p/1/f.zip/provenance">f.zip</a><br />\n`;
  const many = (files: string, index: string) => anchor(files, index).repeat(200_000);

  it.each([
    ["many links", many, 350],
    [
      "one long comment",
      (...hosts: [string, string]) => `<!--${"- -> ".repeat(6_000_000)}-->${anchor(...hosts)}`,
      50,
    ],
    [
      "one long tag",
      (...hosts: [string, string]) => `<p ${"a='>' b ".repeat(3_750_000)}>${anchor(...hosts)}`,
      50,
    ],
    ["one long text", (...hosts: [string, string]) => `${"a < b ".repeat(5_000_000)}${anchor(...hosts)}`, 50],
  ])(
    "lets others have the event loop while it scans and rewrites 30 MB of %s",
    async (_, page, leastTurns) => {
      const bytes = Buffer.from(page(FILES_HOST, INDEX_HOST));
      expect(bytes.length).toBeGreaterThan(29_900_000);
      const scanned = await watchLoop(() => scanSimpleHtml(bytes));
      const written = await watchLoop(() => rewriteSimpleHtml(bytes, scanned.value, movesTo("../..")));
      expect(written.value.equals(Buffer.from(page("../..", "../../i")))).toBe(true);
      expect(scanned.turns).toBeGreaterThan(200);
      expect(written.turns).toBeGreaterThan(leastTurns);
      // About 5 without the garbage collection of the test runner's heap, which takes up to 35.
      expect(Math.max(scanned.longestMs, written.longestMs)).toBeLessThan(50);
    },
  );
});
