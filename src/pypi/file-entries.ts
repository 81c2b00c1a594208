import { inSlices } from "../event-loop.ts";
import { JsonPlaces, membersNamed, type PlaceTable } from "./json-places.ts";
import { type JsonReader, scanning } from "./json-scanner.ts";
import { decodeText } from "./json-text.ts";
import { SIMPLE_PLACES } from "./simple-json.ts";

/** What the index says of one file. */
export interface FileFacts {
  readonly url: string;
  /** Lower-case hex; undefined where the index has no such hash. */
  readonly sha256: string | undefined;
  /** In bytes; undefined where the index does not tell it (api-version 1.0). */
  readonly size: number | undefined;
  /** Whether core metadata are announced (PEP 658, 714). */
  readonly hasCoreMetadata: boolean;
  /** Their hash, lower-case hex; undefined where none are announced, or without it. */
  readonly coreMetadataSha256: string | undefined;
}

/** A parsed file entry. */
type FileEntry = Readonly<Record<string, unknown>>;

/** Where a scan of a document of the JSON API is, on its way to the file entries of `releases`. */
type ReleasesPlace = "outside" | "document" | "releases" | "files" | "file" | "elsewhere";

const RELEASES_PLACES: PlaceTable<ReleasesPlace> = {
  outside: "outside",
  members: { document: membersNamed("releases"), file: membersNamed("filename") },
  within: (place, name, container) => {
    if (place === "outside") return "document";
    if (name === "releases" && container === "object") return "releases";
    if (place === "releases" && container === "array") return "files";
    return place === "files" && container === "object" ? "file" : "elsewhere";
  },
};

/** Looks for file entries of one filename, and parses these alone. Holds the first that `read` makes something of. */
class EntryFinder<P extends string, T> implements JsonReader<T | undefined> {
  readonly #bytes: Buffer;
  readonly #places: JsonPlaces<P | "file">;
  readonly #filename: string;
  readonly #read: (entry: FileEntry) => T | undefined;
  #entryStart = 0;
  #isWanted = false;
  #found: T | undefined;

  constructor(
    bytes: Buffer,
    places: PlaceTable<P | "file">,
    filename: string,
    read: (entry: FileEntry) => T | undefined,
  ) {
    this.#bytes = bytes;
    this.#places = new JsonPlaces(bytes, places);
    this.#filename = filename;
    this.#read = read;
  }

  key(start: number, end: number): void {
    this.#places.key(start, end);
    if (this.#places.member === "filename") this.#isWanted = false;
  }

  string(start: number, end: number): void {
    if (this.#places.member === "filename") this.#isWanted = this.#isFilename(start, end);
  }

  #isFilename(start: number, end: number): boolean {
    const length = end - start;
    // One UTF-16 unit is written in one to six bytes: most others need not be decoded.
    if (length < this.#filename.length || length > 6 * this.#filename.length) return false;
    return decodeText(this.#bytes, start, end) === this.#filename;
  }

  number(): void {
    // No number is looked for.
  }

  open(container: "object" | "array", start: number): void {
    this.#places.open(container);
    if (this.#places.place !== "file") return;
    this.#entryStart = start;
    this.#isWanted = false;
  }

  close(end: number): void {
    if (this.#isWanted && this.#places.place === "file") {
      this.#found ??= this.#read(parseEntry(this.#bytes.toString("utf8", this.#entryStart, end)));
    }
    this.#places.close();
  }

  get isDone(): boolean {
    return this.#found !== undefined;
  }

  view(): T | undefined {
    return this.#found;
  }
}

/** @param text one JSON object: the scanner has proved it */
function parseEntry(text: string): FileEntry {
  return JSON.parse(text) as FileEntry;
}

/**
 * Finds what a project's page says of one file, without making a tree of the page.
 *
 * @param bytes of a page that `scanSimpleJson` has accepted
 * @returns the first entry of this filename that has a `url`; undefined where there is none
 * @throws NotJson they are no such page (thrown at once, or the rejection of the promise)
 */
export function findFile(
  bytes: Buffer,
  filename: string,
): FileFacts | undefined | Promise<FileFacts | undefined> {
  return inSlices(scanning(bytes, new EntryFinder(bytes, SIMPLE_PLACES, filename, factsOf)));
}

/**
 * Finds where a file of a legacy path is, in the way of PyPI's redirector: exact filename, exact `python_version`, in
 * `releases` alone (facts/pypi.md §3, Conveyor).
 *
 * @param bytes of a project document that `scanDocument` has accepted
 * @returns the `url` of the first such file; undefined where there is none
 * @throws NotJson they are no such document (thrown at once, or the rejection of the promise)
 */
export function findReleaseFile(
  bytes: Buffer,
  wanted: { readonly filename: string; readonly pythonVersion: string },
): string | undefined | Promise<string | undefined> {
  const read = (entry: FileEntry) =>
    entry["python_version"] === wanted.pythonVersion ? textOf(entry["url"]) : undefined;
  return inSlices(scanning(bytes, new EntryFinder(bytes, RELEASES_PLACES, wanted.filename, read)));
}

function factsOf(entry: FileEntry): FileFacts | undefined {
  const url = textOf(entry["url"]);
  if (url === undefined) return undefined;
  const metadata = coreMetadataOf(entry);
  const { size } = entry;
  return {
    url,
    sha256: sha256Of(entry["hashes"]),
    size: typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : undefined,
    hasCoreMetadata: metadata === true || isObject(metadata),
    coreMetadataSha256: sha256Of(metadata),
  };
}

/** PEP 714: the new name goes first. The second is PyPI's own (facts/pypi.md §2.5), the third that of PEP 691. */
function coreMetadataOf(entry: FileEntry): unknown {
  return entry["core-metadata"] ?? entry["data-dist-info-metadata"] ?? entry["dist-info-metadata"];
}

function sha256Of(hashes: unknown): string | undefined {
  const hash = isObject(hashes) ? textOf(hashes["sha256"]) : undefined;
  return hash !== undefined && /^[0-9a-f]{64}$/i.test(hash) ? hash.toLowerCase() : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
