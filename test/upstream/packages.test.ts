import { createHash } from "node:crypto";
import { gunzipSync, inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { blake2b256 } from "../support/packages/blake2b.ts";
import { buildPackage } from "../support/packages/build.ts";

// Whether pip takes them is proved in test/clients; here, what no pip tells: that they are ever the same.

const SPEC = {
  name: "Demo_2",
  releases: [
    {
      version: "1.0",
      requires: ["helper>=1"],
      extras: { fast: ["speedy"] },
      scripts: { demo: "demo_2:main" },
    },
    { version: "1.1", stem: "Demo_2", hasMetadata: false, ballastBytes: 10_000 },
  ],
};

describe("the packages of the tests", () => {
  it("are the same bytes every time, of a size that their ballast gives them", () => {
    const [first, second] = [buildPackage(SPEC), buildPackage(SPEC)];
    expect(first).toEqual(second);
    const sizes = first.releases.map(({ files }) => files[0]!.bytes.length);
    expect(sizes[1]! - sizes[0]!).toBeGreaterThan(9_000);
  });

  it("are at the path that their BLAKE2b-256 gives them", () => {
    // RFC 7693's algorithm with 32 bytes of output; vectors of Python's hashlib.
    expect(blake2b256(Buffer.alloc(0))).toBe(
      "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
    );
    expect(blake2b256(Buffer.alloc(300, 2))).toBe(
      "7c9a2328922d4462be3371699321c9e4e7b2af2b74d1d28517cc82cae462698b",
    );
    const [file] = buildPackage(SPEC).releases[0]!.files;
    const hash = blake2b256(file!.bytes);
    expect(file!.path).toBe(
      `/packages/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash.slice(4)}/demo_2-1.0-py3-none-any.whl`,
    );
  });

  it("say what they require, with their extras, and record what is in them", () => {
    const { files, requiresDist } = buildPackage(SPEC).releases[0]!;
    expect(requiresDist).toEqual(["helper>=1", "speedy ; extra == 'fast'"]);
    const [wheel, sdist] = files;
    const text = wheel!.metadata!.bytes.toString();
    expect(text).toContain("Requires-Dist: helper>=1\nRequires-Dist: speedy ; extra == 'fast'\n");
    expect(memberOf(wheel!.bytes, "METADATA").equals(wheel!.metadata!.bytes)).toBe(true);
    const digest = createHash("sha256").update(wheel!.metadata!.bytes).digest("base64url");
    expect(memberOf(wheel!.bytes, "RECORD").toString()).toContain(`/METADATA,sha256=${digest},`);
    expect(gunzipSync(sdist!.bytes).toString()).toContain("demo_2-1.0/PKG-INFO");
  });

  it("are named as PyPI took them before names were normalized, where asked, and without metadata", () => {
    const [wheel, sdist] = buildPackage(SPEC).releases[1]!.files;
    expect([wheel!.filename, sdist!.filename]).toEqual(["Demo_2-1.1-py3-none-any.whl", "Demo_2-1.1.tar.gz"]);
    expect([wheel!.metadata, sdist!.metadata]).toEqual([undefined, undefined]);
  });
});

/** The bytes of the member of a zip whose name ends so. */
function memberOf(zip: Buffer, ending: string): Buffer {
  for (let at = 0; zip.readUInt32LE(at) === 0x04034b50;) {
    const [packed, named] = [zip.readUInt32LE(at + 18), zip.readUInt16LE(at + 26)];
    const name = zip.toString("utf8", at + 30, at + 30 + named);
    const start = at + 30 + named;
    if (name.endsWith(ending)) return inflateRawSync(zip.subarray(start, start + packed));
    at = start + packed;
  }
  throw new Error(`no ${ending}`);
}
