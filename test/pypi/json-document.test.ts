import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_VERSION_BYTES, scanDocument, type DocumentView } from "../../src/pypi/json-document.ts";
import { NotJson } from "../../src/pypi/not-json.ts";
import { corpus, expectedView, filesOf, parse, pypiDocument } from "./json-documents.ts";
import { watchLoop } from "../support/loop-watch.ts";

const scan = (text: string) => scanDocument(Buffer.from(text)) as DocumentView;

const urlsIn = (bytes: Buffer, { fileUrls }: DocumentView): string[] =>
  Array.from({ length: fileUrls.count }, (_, i) =>
    bytes.toString("utf8", fileUrls.start(i), fileUrls.end(i)),
  );

const urls = (text: string): string[] => urlsIn(Buffer.from(text), scan(text));

describe("scanDocument", () => {
  it("says of any document what a parser would", () => {
    fc.assert(
      fc.property(pypiDocument, (bytes) => {
        const { lastSerial, version } = scanDocument(bytes) as DocumentView;
        expect({ lastSerial, version }).toEqual(expectedView(parse(bytes)));
      }),
      { numRuns: 1_000 },
    );
  });

  const recorded = corpus();
  it.skipIf(recorded.length === 0)(
    "says of every recorded document what a parser would (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const view = await scanDocument(bytes);
        const tree = parse(bytes);
        expect({ lastSerial: view.lastSerial, version: view.version }, name).toEqual(expectedView(tree));
        expect(urlsIn(bytes, view).sort(), name).toEqual(
          filesOf(tree)
            .map(({ url }) => url)
            .sort(),
        );
      }
    },
  );

  it("finds the urls of file entries, in order, of `urls` and of `releases`", () => {
    expect(
      urls(`{"releases": {"2013": [{"url": "a"}, {"filename": "f", "url": "b"}], "1": [], "__proto__": [{"url": "c"}]},
            "urls": [{"url": "d", "yanked": false}]}`),
    ).toEqual(["a", "b", "c", "d"]);
  });

  it("finds them under an escaped name", () => {
    expect(
      urls('{"\\u0075rls":[{"u\\u0072\\u006C":"a"}],"rele\\u0061ses":{"1":[{"\\u0075rl":"b"}]}}'),
    ).toEqual(["a", "b"]);
  });

  it("finds all of them where a name comes twice", () => {
    expect(urls('{"urls":[{"url":"a","url":"b"}],"urls":[{"url":"c"}]}')).toEqual(["a", "b", "c"]);
  });

  it.each([
    ["in info", '{"info":{"url":"x","urls":[{"url":"x"}],"project_urls":{"url":"x"}}}'],
    [
      "in a description that quotes a document",
      '{"info":{"description":"{\\"urls\\":[{\\"url\\":\\"x\\"}]}"}}',
    ],
    ["within a file entry", '{"urls":[{"digests":{"url":"x"},"more":[{"url":"x"}]}]}'],
    ["at the top", '{"url":"x"}'],
    ["directly in releases", '{"releases":{"url":"x","1":{"url":"x"}}}'],
    ["in an array of arrays", '{"urls":[[{"url":"x"}]],"releases":{"1":[[{"url":"x"}]]}}'],
    ["where `urls` is no array", '{"urls":{"url":"x","1":[{"url":"x"}]}}'],
    ["where `releases` is no object", '{"releases":[{"url":"x"},[{"url":"x"}]]}'],
    ["in other members", '{"vulnerabilities":[{"url":"x"}],"ownership":{"urls":[{"url":"x"}]}}'],
    ["where it is no string", '{"urls":[{"url":null},{"url":["x"]},{"url":1}]}'],
    ["in a string after a file entry that ends with its url", '{"urls":[{"url":[]},"x"]}'],
    [
      "under a name that only begins so",
      '{"urls":[{"url2":"x","ur":"x","\\u0075rl\\u0020":"x","u\\rl":"x"}]}',
    ],
  ])("does not take a url %s", (_, text) => {
    expect(urls(text)).toEqual([]);
  });

  it("does not take a string for a url because the entry before it ended with one", () => {
    expect(urls('{"urls":[{"url":"a"},"x",{"url":"b"}]}')).toEqual(["a", "b"]);
  });

  it.each([
    ['{"last_serial":28945}', 28945],
    ['{"last_serial":0}', 0],
    ['{"last_\\u0073erial" : 1e3 }', 1000],
    ['{"last_serial":9007199254740991}', Number.MAX_SAFE_INTEGER],
    ['{"last_serial":9007199254740992}', undefined],
    ['{"last_serial":-1}', undefined],
    ['{"last_serial":1.5}', undefined],
    ['{"last_serial":"5"}', undefined],
    ['{"last_serial":[5]}', undefined],
    ['{"last_serial":5,"last_serial":null}', undefined],
    ['{"last_serial":null,"last_serial":5}', 5],
    ['{"info":{"last_serial":5}}', undefined],
    ["{}", undefined],
  ])("reads the serial of %s as %s", (text, serial) => {
    expect(scan(text).lastSerial).toBe(serial);
  });

  it.each([
    ['{"info":{"version":"1.0"}}', "1.0"],
    ['{"inf\\u006f":{"name":"x","v\\u0065rsion":"1\\u002e0\\/é"}}', "1.0/é"],
    ['{"info":{"version":""}}', ""],
    ['{"info":{"version":null}}', undefined],
    ['{"info":{"version":"1","version":2}}', undefined],
    ['{"info":{"version":"1"},"info":{}}', undefined],
    ['{"info":{"more":{"version":"1"}},"version":"2"}', undefined],
    ['{"info":[{"version":"1"}]}', undefined],
    [`{"info":{"version":"${"1".repeat(MAX_VERSION_BYTES)}"}}`, "1".repeat(MAX_VERSION_BYTES)],
    [`{"info":{"version":"${"1".repeat(MAX_VERSION_BYTES + 1)}"}}`, undefined],
  ])("reads the version of %.60s as %.20s", (text, version) => {
    expect(scan(text).version).toBe(version);
  });

  it("reads both forms of non-ASCII: raw UTF-8, and escaped as before July 2022", () => {
    expect(scan('{"info":{"version":"1.0–β😀"}}').version).toBe("1.0–β😀");
    expect(scan('{"info":{"version":"1.0\\u2013\\u03b2\\ud83d\\ude00"}}').version).toBe("1.0–β😀");
  });

  it("answers at once for a small document and refuses at once what is none", () => {
    expect(scanDocument(Buffer.from('{"last_serial":1}\n'))).not.toBeInstanceOf(Promise);
    expect(() => scanDocument(Buffer.from("<html>"))).toThrow(NotJson);
  });

  it("refuses a large document cut short, by the promise", async () => {
    const cut = Buffer.from(`{"info":{"description":"${"x".repeat(2_000_000)}`);
    const answer = scanDocument(cut);
    expect(answer).toBeInstanceOf(Promise);
    await expect(answer).rejects.toThrow(`at byte ${cut.length}, found the end`);
  });

  it.each([
    [
      "many files",
      Buffer.from(`{"urls":[${'{"filename":"f","url":"https://x.example/f"},'.repeat(680_000)}{}]}`),
    ],
    ["one long description", Buffer.from(`{"info":{"description":"${"a line\\n".repeat(3_750_000)}"}}`)],
    ["nothing but white space", Buffer.from(`{${" ".repeat(30_000_000)}}`)],
  ])("lets others have the event loop while it scans 30 MB of %s", async (_, bytes) => {
    expect(bytes.length).toBeGreaterThan(29_900_000);
    const { longestMs, turns } = await watchLoop(() => scanDocument(bytes));
    expect(turns).toBeGreaterThan(100);
    expect(longestMs).toBeLessThan(50);
  });
});
