import { normalizeProject } from "./names.ts";

/** A path of the files host that names a file by the hash of its bytes (facts/pypi.md §3). */
export interface HashPath {
  readonly kind: "hash";
  /** The BLAKE2b-256 of the distribution, 64 digits of lower-case hex; not that of what is kept beside it. */
  readonly blake2b256: string;
  /** The last segment, decoded. */
  readonly filename: string;
  /** The filename of the distribution itself: without `.metadata`, `.provenance` or `.asc`. */
  readonly distribution: string;
  /** Core metadata of the distribution (PEP 658). */
  readonly isMetadata: boolean;
  /** Attestations beside the distribution (PEP 740), as some upstreams have them; PyPI has them at `/integrity/`. */
  readonly isProvenance: boolean;
  /** A detached signature: old ones are still there (facts/pypi.md §3). */
  readonly isSignature: boolean;
}

/** A path as before 2016, which PyPI redirects to the hash path (facts/pypi.md §3, Conveyor). All parts decoded. */
export interface LegacyPath {
  readonly kind: "legacy";
  /** `python_version` of the JSON API: "source", "py2.py3", "3.4", "any". */
  readonly pythonVersion: string;
  /** The first letter of `project` as spelled there. */
  readonly letter: string;
  /** In any spelling. */
  readonly project: string;
  readonly filename: string;
}

/** A path that a file of PyPI can have. */
export type FilePath = HashPath | LegacyPath;

const BLAKE2B_256 = /^[0-9a-f]{64}$/;
const BESIDE = /\.(?:metadata|provenance|asc)$/;

// Far longer than any: of 25,000 recorded filenames the longest has 132 characters. In characters after decoding.
const MAX_FILENAME = 512;
const MAX_PYTHON_VERSION = 64;

// Whatever does not show: controls, NUL among them, lone surrogates, and all white space but the plain one, which old
// filenames may have. Then what separates segments.
const NO_PART_OF_A_NAME = /(?! )[\p{C}\p{Z}]|[/\\]/u;

/**
 * Reads a request path under `/packages/`.
 *
 * @param path percent-encoded, without query; decoded once, as pip re-quotes what upstream wrote (clients.md §4)
 * @returns undefined for what is no path of PyPI's: upstream need not be asked
 */
export function parseFilePath(path: string): FilePath | undefined {
  const [root, packages, ...encoded] = path.split("/");
  if (root !== "" || packages !== "packages" || encoded.length !== 4) return undefined;
  const [first = "", second = "", third = "", filename = ""] = encoded.map(decodeSegment);
  if (first === "" || second === "" || third === "" || filename === "") return undefined;
  if (filename.length > MAX_FILENAME) return undefined;
  return hashPath(first, second, third, filename) ?? legacyPath(first, second, third, filename);
}

/** The canonical form of a path: that which upstream writes in its indexes. `parseFilePath` reads it back. */
export function encodeFilePath(path: FilePath): string {
  const segments =
    path.kind === "hash"
      ? [path.blake2b256.slice(0, 2), path.blake2b256.slice(2, 4), path.blake2b256.slice(4)]
      : [path.pythonVersion, path.letter, path.project];
  return ["/packages", ...[...segments, path.filename].map(encodeSegment)].join("/");
}

function hashPath(first: string, second: string, rest: string, filename: string): HashPath | undefined {
  const blake2b256 = first + second + rest;
  if (first.length !== 2 || second.length !== 2 || !BLAKE2B_256.test(blake2b256)) return undefined;
  const distribution = filename.replace(BESIDE, "");
  if (distribution === "") return undefined;
  return {
    kind: "hash",
    blake2b256,
    filename,
    distribution,
    isMetadata: filename.endsWith(".metadata"),
    isProvenance: filename.endsWith(".provenance"),
    isSignature: filename.endsWith(".asc"),
  };
}

function legacyPath(
  pythonVersion: string,
  letter: string,
  project: string,
  filename: string,
): LegacyPath | undefined {
  if (pythonVersion.length > MAX_PYTHON_VERSION || normalizeProject(project) === undefined) return undefined;
  // Conveyor asks nobody where the letter is another one: there is no such file.
  return letter === project[0] ? { kind: "legacy", pythonVersion, letter, project, filename } : undefined;
}

/** @returns "" for what no segment can be */
function decodeSegment(encoded: string): string {
  if (/[?#]/.test(encoded)) return "";
  const decoded = decodePercent(encoded);
  return decoded === "." || decoded === ".." || NO_PART_OF_A_NAME.test(decoded) ? "" : decoded;
}

function decodePercent(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return ""; // decodeURIComponent has no other way to say so
  }
}

/** What a segment may have as it is (RFC 3986 §3.3), stays so, as warehouse's Pyramid has it. pip quotes more. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent);
}
