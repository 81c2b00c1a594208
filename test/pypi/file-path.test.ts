import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFilePath, parseFilePath, type FilePath } from "../../src/pypi/file-path.ts";
import { recordings } from "./json-documents.ts";

const HEX = "0ef966471f9b7e9291cca697b2e61a10645a537f389a9d5c0679d50dd86b20f7";
const HASHED = `/packages/${HEX.slice(0, 2)}/${HEX.slice(2, 4)}/${HEX.slice(4)}`;

describe("parseFilePath", () => {
  it("reads a path that names a file by its hash", () => {
    expect(parseFilePath(`${HASHED}/six-0.9.0.tar.gz`)).toEqual({
      kind: "hash",
      blake2b256: HEX,
      filename: "six-0.9.0.tar.gz",
      distribution: "six-0.9.0.tar.gz",
      isMetadata: false,
      isProvenance: false,
      isSignature: false,
    });
  });

  it.each([
    ["x-1-py3-none-any.whl.metadata", "x-1-py3-none-any.whl", { isMetadata: true }],
    ["x-1.tar.gz.provenance", "x-1.tar.gz", { isProvenance: true }],
    ["x-1.tar.gz.asc", "x-1.tar.gz", { isSignature: true }],
    ["metadata.zip", "metadata.zip", { isMetadata: false }],
    ["x.metadata.zip", "x.metadata.zip", { isMetadata: false }],
  ])("tells of %s that it belongs to %s", (filename, distribution, flags) => {
    expect(parseFilePath(`${HASHED}/${filename}`)).toMatchObject({ filename, distribution, ...flags });
  });

  it.each([
    ["a%2Cb.zip", "a,b.zip"],
    ["a,b.zip", "a,b.zip"],
    ["a%2bcpu%211.whl", "a+cpu!1.whl"],
    ["a%252Cb.zip", "a%2Cb.zip"], // once
    ["a%20b.zip", "a b.zip"],
    ["%C3%A9.zip", "é.zip"],
    ["%73ix.zip", "six.zip"],
  ])("decodes %s once", (encoded, filename) => {
    expect(parseFilePath(`${HASHED}/${encoded}`)).toMatchObject({ kind: "hash", filename });
  });

  it.each([
    ["source/D/Django/Django-1.4.11.tar.gz", "source", "D", "Django", "Django-1.4.11.tar.gz"],
    [
      "py2.py3/d/django/Django-1.6.6-py2.py3-none-any.whl",
      "py2.py3",
      "d",
      "django",
      "Django-1.6.6-py2.py3-none-any.whl",
    ],
    ["2.3.4/z/zope.interface/z.exe", "2.3.4", "z", "zope.interface", "z.exe"],
    ["py34.py35/3/3to2/3to2-1%2C0.egg", "py34.py35", "3", "3to2", "3to2-1,0.egg"],
    ["ab/c/cd/ef", "ab", "c", "cd", "ef"],
  ])("reads the legacy path %s", (path, pythonVersion, letter, project, filename) => {
    expect(parseFilePath(`/packages/${path}`)).toEqual({
      kind: "legacy",
      pythonVersion,
      letter,
      project,
      filename,
    });
  });

  it.each([
    "",
    "/",
    "/packages",
    "/packages/",
    HASHED,
    `${HASHED}/`,
    `${HASHED}/a/b`,
    `${HASHED}//a`,
    `${HASHED}/a/`,
    `/x${HASHED}/a`,
    `x${HASHED}/a`,
    `${HASHED}/a`.slice(1),
    `${HASHED.toUpperCase()}/a`,
    `${HASHED.replace("0e/f9", "0e/F9")}/a`,
    `${HASHED.replace("0e/f9", "0g/f9")}/a`,
    `${HASHED.replace("0e/f9", "0/ef9")}/a`,
    `${HASHED.slice(0, -1)}/a`,
    `${HASHED}0/a`,
    `${HASHED}/.`,
    `${HASHED}/..`,
    `${HASHED}/%2e%2E`,
    `${HASHED}/a%2Fb`,
    `${HASHED}/a%5cb`,
    `${HASHED}/a\\b`,
    `${HASHED}/a%00`,
    `${HASHED}/a%0d%0Ab`,
    `${HASHED}/a%7F`,
    `${HASHED}/a%C2%85`,
    `${HASHED}/a%E2%80%AEb`,
    `${HASHED}/a%C3`,
    `${HASHED}/a%`,
    `${HASHED}/a%zz`,
    `${HASHED}/a?b`,
    `${HASHED}/a#b`,
    `${HASHED}/.metadata`,
    `${HASHED}/${"a".repeat(513)}`,
    "/packages/source/D/django/Django-1.4.11.tar.gz",
    "/packages/source/dj/django/Django-1.4.11.tar.gz",
    "/packages/source//django/Django-1.4.11.tar.gz",
    "/packages/source/-/-x/Django-1.4.11.tar.gz",
    "/packages/source/../..%2F/Django-1.4.11.tar.gz",
    `/packages/${"3".repeat(65)}/d/django/Django-1.4.11.tar.gz`,
  ])("knows no file at %.90s", (path) => {
    expect(parseFilePath(path)).toBeUndefined();
  });

  it("takes any text without throwing, and what it takes holds nothing that could leave a folder or a line", () => {
    const path = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(fc.constantFrom("/", "%", "2f", "%2e", "..", "packages", "a", "00", HASHED, "%00", "%5C", "é"))
        .map((list) => list.join("")),
      fc.string().map((name) => `${HASHED}/${encodeURIComponent(name)}`),
    );
    fc.assert(
      fc.property(path, (text) => {
        const parsed = parseFilePath(text);
        if (parsed === undefined) return;
        expect(parsed.filename).not.toMatch(/[/\\\u0000-\u001f\u007f]|^\.{0,2}$/);
      }),
      { numRuns: 3_000 },
    );
  });

  const recorded = recordings("simple-json", "simple-html", "project-json", "release-json");
  it.skipIf(recorded.length === 0)(
    "reads every recorded URL, and writes it again character by character (skipped where there is no corpus)",
    () => {
      const paths = new Set(
        recorded.flatMap(({ bytes }) =>
          [...bytes.toString().matchAll(/"(?:https:\/\/[a-z.]*|\.\.\/\.\.)(\/packages\/[^"#]*)/g)].map(
            (match) => match[1]!,
          ),
        ),
      );
      expect(paths.size).toBeGreaterThan(16_000);
      for (const path of paths) {
        const parsed = parseFilePath(path);
        expect(parsed, path).toBeDefined();
        expect(encodeFilePath(parsed!)).toBe(path);
      }
    },
  );
});

describe("encodeFilePath", () => {
  it("is read back as what it was", () => {
    const filename = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 30 })
      .filter((name) => parseFilePath(`${HASHED}/${encodeURIComponent(name)}`) !== undefined);
    const hash = filename.map((name) => parseFilePath(`${HASHED}/${encodeURIComponent(name)}`)!);
    const legacy = fc
      .tuple(
        fc.stringMatching(/^[a-z0-9.]{1,9}$/),
        fc.stringMatching(/^[A-Za-z0-9]([._-]?[A-Za-z0-9]){0,8}$/),
        filename,
      )
      .filter(([version]) => !/^\.{1,2}$/.test(version))
      .map(([pythonVersion, project, name]): FilePath => ({
        kind: "legacy",
        pythonVersion,
        letter: project[0]!,
        project,
        filename: name,
      }));
    fc.assert(
      fc.property(fc.oneof(hash, legacy), (path) => {
        expect(parseFilePath(encodeFilePath(path))).toEqual(path);
      }),
      { numRuns: 1_000 },
    );
  });

  it("writes all spellings of a path as one, with nothing encoded that need not be", () => {
    const wanted = `${HASHED}/a,b+c!1~(x)*'$&:;=@%20%25%23%3F.zip`;
    expect(encodeFilePath(parseFilePath(wanted)!)).toBe(wanted);
    expect(
      encodeFilePath(parseFilePath(`${HASHED}/${encodeURIComponent("a,b+c!1~(x)*'$&:;=@ %#?.zip")}`)!),
    ).toBe(wanted);
  });
});
