import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rewriteFileUrls } from "./rewriting.ts";
import { scanDocument, type DocumentView } from "../../src/pypi/json-document.ts";
import { corpus, FILES_HOST, filesOf, parse, pypiDocument } from "./json-documents.ts";
import { watchLoop } from "../support/loop-watch.ts";

const MIRROR = "https://mirror.corp/pypi";

const rewrite = async (bytes: Buffer, to: string): Promise<Buffer> =>
  rewriteFileUrls(bytes, await scanDocument(bytes), FILES_HOST, to);

const rewriteText = async (text: string, to = MIRROR): Promise<string> =>
  (await rewrite(Buffer.from(text), to)).toString();

const moved = (url: string, to: string): string =>
  url.startsWith(`${FILES_HOST}/packages/`) ? to + url.slice(FILES_HOST.length) : url;

/** The rewritten document as one gets it by way of a tree. JSON again, as text: it shows a `__proto__` member too. */
function expectedJson(bytes: Buffer, to: string): string {
  const tree = parse(bytes);
  for (const file of filesOf(tree)) file.url = moved(file.url, to);
  return JSON.stringify(tree);
}

const unquoted = (bytes: Buffer): string => JSON.parse(`"${bytes.toString()}"`) as string;

/** Walks both documents side by side: all must be equal but the urls, and of those what follows the host. */
function expectSameOutsideUrls(before: Buffer, after: Buffer, view: DocumentView, to: string): void {
  let read = 0;
  let seen = 0;
  const expectEqual = (end: number) => {
    expect(after.subarray(seen, seen + end - read).equals(before.subarray(read, end))).toBe(true);
    seen += end - read;
    read = end;
  };
  for (let i = 0; i < view.fileUrls.count; i++) {
    expectEqual(view.fileUrls.start(i));
    const url = unquoted(before.subarray(read, view.fileUrls.end(i)));
    if (moved(url, to) === url) continue;
    const put = JSON.stringify(to).slice(1, -1);
    expect(after.toString("utf8", seen, seen + Buffer.byteLength(put))).toBe(put);
    seen += Buffer.byteLength(put);
    while (unquoted(before.subarray(read, view.fileUrls.end(i))) !== url.slice(FILES_HOST.length)) {
      read += before[read] !== 0x5c ? 1 : before[read + 1] === 0x75 ? 6 : 2;
    }
  }
  expectEqual(before.length);
  expect(seen).toBe(after.length);
}

describe("rewriteFileUrls", () => {
  const target = fc.constantFrom(
    MIRROR,
    "",
    "x",
    `${FILES_HOST}/${"long/".repeat(9)}end`,
    'https://q"uo\\te/é\n',
  );

  it("gives what a tree-based rewriter gives, and leaves every other byte as it is", async () => {
    let rewritten = 0;
    await fc.assert(
      fc.asyncProperty(pypiDocument, target, async (bytes, to) => {
        const after = await rewrite(bytes, to);
        expect(JSON.stringify(parse(after))).toBe(expectedJson(bytes, to));
        expectSameOutsideUrls(bytes, after, await scanDocument(bytes), to);
        if (after !== bytes) rewritten++;
      }),
      { numRuns: 1_000 },
    );
    expect(rewritten).toBeGreaterThan(100); // else the documents have nothing to find
  });

  const recorded = corpus();
  it.skipIf(recorded.length === 0)(
    "does so for every recorded document (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const after = await rewrite(bytes, MIRROR);
        expect(JSON.stringify(parse(after)), name).toBe(expectedJson(bytes, MIRROR));
        expectSameOutsideUrls(bytes, after, await scanDocument(bytes), MIRROR);
      }
    },
  );

  it("moves the urls of a document as PyPI sends it, and nothing in info", async () => {
    const document = (host: string) =>
      `{"info":{"description":"see ${FILES_HOST}/packages/a/b/f.zip","download_url":"${FILES_HOST}/packages/a/b/f.zip",` +
      `"project_urls":{"url":"${FILES_HOST}/packages/a/b/f.zip"},"version":"1"},"last_serial":5,` +
      `"releases":{"1":[{"digests":{"url":"${FILES_HOST}/packages/"},"url":"${host}/packages/a/b/f.zip","yanked":false}],` +
      `"2013":[]},"urls":[{"size":1,"url":"${host}/packages/a/b/f.zip"}]}\n`;
    expect(await rewriteText(document(FILES_HOST))).toBe(document(MIRROR));
  });

  it("finds a url through its escapes, and leaves those behind the host as they are", async () => {
    const text =
      '{"urls":[{"url":"\\u0068ttps:\\/\\/files.pythonhosted\\u002Eorg\\/pack\\u0061ges\\/a\\u002fé.zip"}]}';
    expect(await rewriteText(text)).toBe(
      '{"urls":[{"url":"https://mirror.corp/pypi\\/pack\\u0061ges\\/a\\u002fé.zip"}]}',
    );
  });

  it("writes a target that JSON must escape", async () => {
    const text = await rewriteText(`{"urls":[{"url":"${FILES_HOST}/packages/f"}]}`, 'a"b\\c\n');
    expect(text).toBe('{"urls":[{"url":"a\\"b\\\\c\\n/packages/f"}]}');
  });

  it.each([
    FILES_HOST,
    `${FILES_HOST}/packages`,
    `${FILES_HOST}/simple/f`,
    `${FILES_HOST}.evil.example/packages/f`,
    "http://files.pythonhosted.org/packages/f",
    " https://files.pythonhosted.org/packages/f",
    "https://pypi.python.org/packages/f",
    "https:\\/\\/files.pythonhosted.org\\npackages/f",
  ])("leaves %s alone, and gives back the same Buffer", async (url) => {
    const bytes = Buffer.from(`{"urls":[{"url":"${url}"}]}`);
    expect(await rewrite(bytes, MIRROR)).toBe(bytes);
  });

  it("gives back the same Buffer when it is to move them to where they are", async () => {
    const bytes = Buffer.from(`{"urls":[{"url":"${FILES_HOST}/packages/f"}]}`);
    expect(await rewrite(bytes, FILES_HOST)).toBe(bytes);
  });

  it("answers at once for a small document", () => {
    const bytes = Buffer.from(`{"urls":[{"url":"${FILES_HOST}/packages/f"}]}`);
    const view = scanDocument(bytes) as DocumentView;
    expect(rewriteFileUrls(bytes, view, FILES_HOST, MIRROR)).toBeInstanceOf(Buffer);
  });

  const entry = (host: string) => `{"filename":"f.zip","url":"${host}/packages/aa/bb/f.zip"},`;
  const many = (host: string) => `{"urls":[${entry(host).repeat(380_000)}{}]}`;
  const long = (host: string) =>
    `{"info":{"description":"${"a line\\n".repeat(3_750_000)}"},"urls":[${entry(host)}{}]}`;

  it.each([
    ["many files", many, 350], // each URL counts, not only its bytes
    ["one long description", long, 50],
  ])("lets others have the event loop while it rewrites 30 MB of %s", async (_, document, leastTurns) => {
    const bytes = Buffer.from(document(FILES_HOST));
    expect(bytes.length).toBeGreaterThan(29_900_000);
    const view = await scanDocument(bytes);
    const { value, longestMs, turns } = await watchLoop(() =>
      rewriteFileUrls(bytes, view, FILES_HOST, MIRROR),
    );
    expect(value.equals(Buffer.from(document(MIRROR)))).toBe(true);
    expect(turns).toBeGreaterThan(leastTurns);
    expect(longestMs).toBeLessThan(50);
  });
});
