import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findFile, findReleaseFile, type FileFacts } from "../../src/pypi/file-entries.ts";
import { NotJson } from "../../src/pypi/not-json.ts";
import { isObject, own, parse, picker, recordings, spell, type Node } from "./json-documents.ts";
import { watchLoop } from "../support/loop-watch.ts";
import { entriesOf } from "./simple-pages.ts";

const SHA = "6ece7fdc438597979abb5e237cd42ec9b0ed9342acfa13aabd0d57dae5122f00";
const OTHER_SHA = "45571ea26270f2c5ada3738af99cbabc62fc5529a582f7ce059acbc4bd8284a5";

const find = (text: string, filename: string) =>
  findFile(Buffer.from(text), filename) as FileFacts | undefined;
const inPage = (entry: object) =>
  find(JSON.stringify({ files: [{ filename: "f", url: "u", ...entry }] }), "f");

const node = (value: unknown): Node => {
  if (Array.isArray(value)) return value.map(node);
  if (!isObject(value)) return value as Node;
  return { members: Object.entries(value).map(([key, each]) => [key, node(each)] as const) };
};

describe("findFile", () => {
  it("says what the index says of a file", () => {
    const page = `{"files":[{"filename":"a.zip","url":"x"},{"core-metadata":{"sha256":"${OTHER_SHA}"},
      "data-dist-info-metadata":false,"filename":"click-0.1-py2.py3-none-any.whl","hashes":{"sha256":"${SHA}"},
      "provenance":null,"size":21623,"url":"https://files.example/packages/f","yanked":false}],"name":"click"}`;
    expect(find(page, "click-0.1-py2.py3-none-any.whl")).toEqual({
      url: "https://files.example/packages/f",
      sha256: SHA,
      size: 21623,
      hasCoreMetadata: true,
      coreMetadataSha256: OTHER_SHA,
    });
    expect(find(page, "click-0.1-py2.py3-none-any.wh")).toBeUndefined();
    expect(find(page, "click")).toBeUndefined();
  });

  it.each([
    [{ "core-metadata": false, "data-dist-info-metadata": false }, false, undefined],
    [{ "core-metadata": false, "data-dist-info-metadata": { sha256: SHA } }, false, undefined],
    [{ "data-dist-info-metadata": { sha256: SHA } }, true, SHA],
    [{ "dist-info-metadata": { sha256: SHA.toUpperCase() } }, true, SHA],
    [{ "core-metadata": true }, true, undefined],
    [{ "core-metadata": { md5: "x" } }, true, undefined],
    [{ "core-metadata": { sha256: "x" } }, true, undefined],
    [{ "core-metadata": null }, false, undefined],
    [{}, false, undefined],
  ])("reads of %j whether metadata are announced: %s", (entry, hasCoreMetadata, coreMetadataSha256) => {
    expect(inPage(entry)).toMatchObject({ hasCoreMetadata, coreMetadataSha256 });
  });

  it.each([
    [{ hashes: { sha256: SHA }, size: 0 }, SHA, 0],
    [{ hashes: { md5: "x" } }, undefined, undefined],
    [{ hashes: [], size: -1 }, undefined, undefined],
    [{ hashes: { sha256: `${SHA}0` }, size: 1.5 }, undefined, undefined],
    [{ hashes: null, size: "1" }, undefined, undefined],
  ])("reads of %j hash and size as %s and %s", (entry, sha256, size) => {
    expect(inPage(entry)).toMatchObject({ sha256, size });
  });

  it("passes over entries without a url, and takes the first of several", () => {
    expect(
      find('{"files":[{"filename":"f"},{"filename":"f","url":"a"},{"filename":"f","url":"b"}]}', "f")?.url,
    ).toBe("a");
  });

  it("finds a filename however it is escaped, and takes the last where an entry has two", () => {
    expect(find('{"files":[{"f\\u0069lename":"\\u0066\\u00e9","url":"a"}]}', "fé")?.url).toBe("a");
    expect(find('{"files":[{"filename":"f","filename":"g","url":"a"}]}', "f")).toBeUndefined();
    expect(find('{"files":[{"filename":"f","filename":["f"],"url":"a"}]}', "f")).toBeUndefined();
    expect(find('{"files":[{"filename":"f","x":{"filename":"g"},"url":"a"}]}', "f")?.url).toBe("a");
  });

  it.each([
    '{"meta":{"filename":"f","url":"x"}}',
    '{"filename":"f","url":"x"}',
    '{"files":{"filename":"f","url":"x"}}',
    '{"files":[{"more":{"filename":"f"},"url":"x"}]}',
    '{"files":[["filename","f"],{"url":"x"}]}',
    '{"files":[{"filename":["f"],"url":"x"},"f"]}',
  ])("does not find a file in %s", (text) => {
    expect(find(text, "f")).toBeUndefined();
  });

  const filename = fc.constantFrom("f", "g", "fé", "a,b", "__proto__", "f\\", "f.whl");
  const entry = fc.record(
    {
      filename: fc.oneof({ weight: 3, arbitrary: filename }, fc.constant(null)),
      url: fc.oneof({ weight: 3, arbitrary: fc.string() }, fc.constant(null)),
      size: fc.nat(),
      hashes: fc.constant({ sha256: SHA, filename: "f" }),
      x: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );

  it("finds what a search of the tree finds", () => {
    fc.assert(
      fc.property(fc.array(entry), filename, fc.array(fc.nat(), { minLength: 1 }), (files, wanted, row) => {
        const bytes = Buffer.from(spell(node({ name: "x", files }), picker(row)));
        const expected = files.find((each) => each.filename === wanted && typeof each.url === "string");
        const facts = findFile(bytes, wanted) as FileFacts | undefined;
        expect(facts?.url).toBe(expected?.url);
        expect(facts?.size).toBe(expected?.size);
      }),
      { numRuns: 1_000 },
    );
  });

  const recorded = recordings("simple-json");
  it.skipIf(recorded.length === 0)(
    "finds every file of the recorded pages (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const entries = entriesOf(parse(bytes));
        const every = Math.ceil(entries.length / 20); // of the large ones a sample, and the last
        for (const [i, each] of entries.entries()) {
          if (i % every !== 0 && i !== entries.length - 1) continue;
          const metadata =
            each["core-metadata"] ?? each["data-dist-info-metadata"] ?? each["dist-info-metadata"];
          expect(await findFile(bytes, String(each["filename"])), name).toEqual({
            url: each["url"],
            sha256: own(each["hashes"], "sha256"),
            size: each["size"],
            hasCoreMetadata: metadata === true || isObject(metadata),
            coreMetadataSha256: own(metadata, "sha256"),
          });
        }
      }
    },
  );

  it("refuses what is no JSON object", () => {
    expect(() => find("<html>", "f")).toThrow(NotJson);
  });

  it("lets others have the event loop while it looks through 30 MB", async () => {
    const one = `{"filename":"name-of-a-file-1.0.tar.gz","url":"https://files.example/packages/aa/bb/f.zip"},`;
    const bytes = Buffer.from(
      `{"files":[${one.repeat(330_000)}{"filename":"name-of-a-file-1.1.tar.gz","url":"x"}]}`,
    );
    expect(bytes.length).toBeGreaterThan(29_900_000);
    const { value, longestMs, turns } = await watchLoop(() => findFile(bytes, "name-of-a-file-1.1.tar.gz"));
    expect(value?.url).toBe("x");
    expect(turns).toBeGreaterThan(100);
    expect(longestMs).toBeLessThan(50);
  });

  it("looks no further than to the file", async () => {
    const bytes = Buffer.from(`{"files":[{"filename":"f","url":"x"},${'{"url":"y"},'.repeat(500_000)}`); // cut short
    expect((await findFile(bytes, "f"))?.url).toBe("x");
  });
});

describe("findReleaseFile", () => {
  const release = (text: string, filename: string, pythonVersion: string) =>
    findReleaseFile(Buffer.from(text), { filename, pythonVersion }) as string | undefined;
  const file = (filename: string, pythonVersion: string, url: string) =>
    `{"filename":"${filename}","python_version":"${pythonVersion}","url":"${url}"}`;

  it("finds a file by its exact name and Python version, in whatever release", () => {
    const text = `{"info":{},"releases":{"1":[${file("f", "source", "a")}],"2":[${file("f", "py3", "b")},${file("g", "py3", "c")}]}}`;
    expect(release(text, "f", "source")).toBe("a");
    expect(release(text, "f", "py3")).toBe("b");
    expect(release(text, "g", "py3")).toBe("c");
    expect(release(text, "g", "source")).toBeUndefined();
    expect(release(text, "F", "source")).toBeUndefined();
  });

  it.each([
    `{"urls":[${file("f", "source", "x")}]}`,
    `{"releases":[${file("f", "source", "x")}]}`,
    `{"releases":{"1":${file("f", "source", "x")}}}`,
    `{"releases":{"1":[[${file("f", "source", "x")}]]}}`,
    `{"info":{"releases":{"1":[${file("f", "source", "x")}]}}}`,
    '{"releases":{"1":[{"filename":"f","python_version":"source"}]}}',
  ])("does not find one in %s", (text) => {
    expect(release(text, "f", "source")).toBeUndefined();
  });

  const recorded = recordings("project-json");
  it.skipIf(recorded.length === 0)(
    "finds files of the recorded documents as a search of the tree does (skipped where there is no corpus)",
    async () => {
      for (const { name, bytes } of recorded) {
        const releases = own(parse(bytes), "releases");
        const files = (isObject(releases) ? Object.values(releases) : []).flat().filter(isObject);
        for (const each of [files[0], files.at(-1)].filter((found) => found !== undefined)) {
          const isSame = (other: typeof each) =>
            other["filename"] === each["filename"] && other["python_version"] === each["python_version"];
          const wanted = {
            filename: String(each["filename"]),
            pythonVersion: String(each["python_version"]),
          };
          expect(
            files.filter(isSame).map(({ url }) => url),
            name,
          ).toContain(await findReleaseFile(bytes, wanted));
        }
      }
    },
  );
});
