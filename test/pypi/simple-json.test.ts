import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteSpans } from "../../src/pypi/byte-spans.ts";
import { filesMove, provenanceMove } from "../../src/pypi/file-urls.ts";
import { NotJson } from "../../src/pypi/not-json.ts";
import { scanSimpleJson, type SimpleJsonView } from "../../src/pypi/simple-json.ts";
import { FILES_HOST, parse, recordings } from "./json-documents.ts";
import { watchLoop } from "../support/loop-watch.ts";
import { entriesOf, expectedSimpleView, INDEX_HOST, simpleJsonPage } from "./simple-pages.ts";
import { rewriteSimpleJson } from "./rewriting.ts";

const scan = (text: string) => scanSimpleJson(Buffer.from(text)) as SimpleJsonView;

const textsIn = (bytes: Buffer, spans: ByteSpans): string[] =>
  Array.from({ length: spans.count }, (_, i) => bytes.toString("utf8", spans.start(i), spans.end(i)));

const urls = (text: string): string[] => textsIn(Buffer.from(text), scan(text).urls);

const movesTo = (base: string) => [filesMove(FILES_HOST, base), provenanceMove(INDEX_HOST, `${base}/i`)];

const rewrite = async (bytes: Buffer, base: string): Promise<Buffer> =>
  rewriteSimpleJson(bytes, await scanSimpleJson(bytes), movesTo(base));

const moved = (url: string, base: string): string => {
  if (url.startsWith(`${FILES_HOST}/packages/`)) return base + url.slice(FILES_HOST.length);
  return url.startsWith(`${INDEX_HOST}/integrity/`) ? `${base}/i${url.slice(INDEX_HOST.length)}` : url;
};

/** The rewritten page as one gets it by way of a tree, as JSON. */
function expectedJson(bytes: Buffer, base: string): string {
  const tree = parse(bytes);
  for (const entry of entriesOf(tree)) {
    for (const name of ["url", "provenance"]) {
      const url = Object.hasOwn(entry, name) ? entry[name] : undefined;
      if (typeof url === "string") entry[name] = moved(url, base);
    }
  }
  return JSON.stringify(tree);
}

const recorded = recordings("simple-json");

describe("scanSimpleJson", () => {
  it("says of any page what a parser would", () => {
    fc.assert(
      fc.property(simpleJsonPage, (bytes) => {
        const { lastSerial, hasFiles } = scanSimpleJson(bytes) as SimpleJsonView;
        expect({ lastSerial, hasFiles }).toEqual(expectedSimpleView(bytes));
      }),
      { numRuns: 1_000 },
    );
  });

  it.skipIf(recorded.length === 0)(
    "says of every recorded page what a parser would (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const { lastSerial, hasFiles, urls: spans } = await scanSimpleJson(bytes);
        expect({ lastSerial, hasFiles }, name).toEqual(expectedSimpleView(bytes));
        const expected = entriesOf(parse(bytes)).flatMap((entry) => [
          entry["url"],
          entry["provenance"] ?? [],
        ]);
        expect(textsIn(bytes, spans).sort(), name).toEqual(expected.flat().sort());
      }
    },
  );

  it("finds urls and attestations in order, also under escaped names", () => {
    expect(
      urls(
        '{"files":[{"provenance":"a","url":"b"},{"provenance":null,"url":"c"}],' +
          '"f\\u0069les":[{"\\u0075rl":"d","yanked":false}]}',
      ),
    ).toEqual(["a", "b", "c", "d"]);
  });

  it.each([
    ["at the top", '{"url":"x","provenance":"x"}'],
    ["in meta", '{"meta":{"url":"x","files":[{"url":"x"}]}}'],
    ["deeper in a file entry", '{"files":[{"hashes":{"url":"x"},"more":[{"url":"x"}]}]}'],
    ["in an array of arrays", '{"files":[[{"url":"x"}]]}'],
    ["where `files` is no array", '{"files":{"url":"x","files":[{"url":"x"}]}}'],
    ["in other members", '{"versions":[{"url":"x"}],"project-status":{"files":[{"url":"x"}]}}'],
    ["where it is no string", '{"files":[{"url":null,"provenance":["x"]},{"url":1}]}'],
    ["because the entry before ended with one", '{"files":[{"url":[]},"x"]}'],
  ])("does not take a url %s", (_, text) => {
    expect(urls(text)).toEqual([]);
  });

  it.each([
    ['{"meta":{"_last-serial":5,"api-version":"1.4"}}', 5],
    ['{"meta":{"_last\\u002dserial" : 1e3}}', 1000],
    ['{"meta":{"_last-serial":5},"meta":{}}', undefined],
    ['{"meta":{"_last-serial":5,"_last-serial":"6"}}', undefined],
    ['{"meta":[{"_last-serial":5}],"_last-serial":6}', undefined],
    ['{"meta":{"_last-serial":9007199254740992}}', undefined],
    ['{"meta":{"_last-serial":-1}}', undefined],
  ])("reads the serial of %s as %s", (text, serial) => {
    expect(scan(text).lastSerial).toBe(serial);
  });

  it("tells a page, an empty one too, from another object", () => {
    expect(scan('{"files":[],"meta":{"api-version":"1.4"},"name":"x","versions":[]}').hasFiles).toBe(true);
    expect(scan('{"message":"Not Found","more":{"files":[]}}').hasFiles).toBe(false);
    expect(scan('{"files":null}').hasFiles).toBe(false);
  });

  it("refuses what is no JSON object, also late in a large one", async () => {
    expect(() => scan("<!DOCTYPE html>")).toThrow(NotJson);
    expect(() => scan('{"files":[]')).toThrow(NotJson);
    const cut = Buffer.from(`{"files":[${'{"url":"x"},'.repeat(50_000)}`);
    await expect(Promise.resolve(scanSimpleJson(cut))).rejects.toThrow(NotJson);
  });
});

describe("rewriteSimpleJson", () => {
  const base = fc.constantFrom("https://larder.corp/pypi", "../..", "", 'https://q"uo\\te/é\n');

  it("gives what a tree-based rewriter gives", async () => {
    let rewritten = 0;
    await fc.assert(
      fc.asyncProperty(simpleJsonPage, base, async (bytes, to) => {
        const after = await rewrite(bytes, to);
        expect(JSON.stringify(parse(after))).toBe(expectedJson(bytes, to));
        if (after !== bytes) rewritten++;
      }),
      { numRuns: 1_000 },
    );
    expect(rewritten).toBeGreaterThan(100); // else the pages have nothing to find
  });

  it("comes back byte for byte when it moves the urls there and back", async () => {
    await fc.assert(
      fc.asyncProperty(simpleJsonPage, async (bytes) => {
        const there = await rewriteSimpleJson(bytes, await scanSimpleJson(bytes), movesTo("https://there"));
        const back = [
          { from: "https://there", path: "/packages/", to: FILES_HOST },
          { from: "https://there/i", path: "/integrity/", to: INDEX_HOST },
        ];
        const again = await rewriteSimpleJson(there, await scanSimpleJson(there), back);
        expect(JSON.stringify(parse(again))).toBe(JSON.stringify(parse(bytes)));
        // Only what stood escaped in front of a path is written plainly now.
        if (!bytes.includes("\\")) expect(again.equals(bytes)).toBe(true);
      }),
    );
  });

  it.skipIf(recorded.length === 0)(
    "changes nothing of a recorded page but the hosts (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const expected = bytes
          .toString("latin1")
          .replaceAll(`"${FILES_HOST}/packages/`, '"../../packages/')
          .replaceAll(`"${INDEX_HOST}/integrity/`, '"../../i/integrity/');
        expect((await rewrite(bytes, "../..")).toString("latin1") === expected, name).toBe(true);
      }
    },
  );

  it("moves files and attestations of one page to two places", async () => {
    const page = (files: string, index: string) =>
      `{"files":[{"provenance":"${index}/integrity/p/1/f/provenance","url":"${files}/packages/aa/f"},` +
      `{"provenance":null,"url":"${files}/packages/aa/g"}],"meta":{"_last-serial":1},"name":"${FILES_HOST}/packages/"}`;
    const after = await rewrite(Buffer.from(page(FILES_HOST, INDEX_HOST)), "../..");
    expect(after.toString()).toBe(page("../..", "../../i"));
  });

  it("gives back the same Buffer where nothing moves", async () => {
    const bytes = Buffer.from('{"files":[{"url":"https://other.example/packages/f"}]}');
    expect(await rewrite(bytes, "x")).toBe(bytes);
    const page = Buffer.from(`{"files":[{"url":"${FILES_HOST}/packages/f"}]}`);
    const moves = [filesMove(FILES_HOST, FILES_HOST), provenanceMove(INDEX_HOST, INDEX_HOST)];
    expect(await rewriteSimpleJson(page, await scanSimpleJson(page), moves)).toBe(page);
  });

  it("lets others have the event loop while it scans and rewrites 30 MB", async () => {
    const entry = (files: string, index: string) =>
      `{"filename":"f.zip","provenance":"${index}/integrity/p/1/f.zip/provenance","url":"${files}/packages/aa/f.zip"},`;
    const page = (files: string, index: string) => `{"files":[${entry(files, index).repeat(230_000)}{}]}`;
    const bytes = Buffer.from(page(FILES_HOST, INDEX_HOST));
    expect(bytes.length).toBeGreaterThan(29_900_000);
    const scanned = await watchLoop(() => scanSimpleJson(bytes));
    const written = await watchLoop(() => rewriteSimpleJson(bytes, scanned.value, movesTo("../..")));
    expect(written.value.equals(Buffer.from(page("../..", "../../i")))).toBe(true);
    expect(scanned.turns).toBeGreaterThan(100);
    expect(written.turns).toBeGreaterThan(350);
    // See simple-html.test.ts for what takes so long.
    expect(Math.max(scanned.longestMs, written.longestMs)).toBeLessThan(50);
  });
});
