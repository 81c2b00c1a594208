import { inSlices } from "../event-loop.ts";
import { ByteSpanList, type ByteSpans } from "./byte-spans.ts";
import { JsonPlaces, membersNamed, type PlaceTable } from "./json-places.ts";
import { type JsonReader, scanning } from "./json-scanner.ts";
import { decodeText, readSerial } from "./json-text.ts";

/** A version longer than this is not told: it would have to be decoded in one go. PEP 440 needs a tenth. */
export const MAX_VERSION_BYTES = 4_096;

/** What larder needs to know of a project or version document of PyPI's JSON API. */
export interface DocumentView {
  /** `last_serial`; undefined where it is missing or no non-negative safe integer. */
  readonly lastSerial: number | undefined;
  /** `info.version`; undefined where it is missing, no string, or beyond `MAX_VERSION_BYTES`. */
  readonly version: string | undefined;
  /** Where the `url`s of the file entries of `urls` and `releases` stand, in order, without their quotes. */
  readonly fileUrls: ByteSpans;
}

/** Where a scan is. `files` is an array of file entries, `file` one of them. */
type Place = "outside" | "document" | "info" | "releases" | "files" | "file" | "elsewhere";

const PLACES: PlaceTable<Place> = {
  outside: "outside",
  members: {
    document: membersNamed("info", "last_serial", "releases", "urls"),
    info: membersNamed("version"),
    file: membersNamed("url"),
  },
  within: (place, name, container) => {
    if (place === "outside") return "document";
    if (container === "array") return place === "releases" || name === "urls" ? "files" : "elsewhere";
    if (place === "files") return "file";
    return name === "info" || name === "releases" ? name : "elsewhere";
  },
};

/** Follows a scan through the document. Of several members of one name the last counts, as for any JSON parser. */
class DocumentReader implements JsonReader<DocumentView> {
  readonly #bytes: Buffer;
  readonly #places: JsonPlaces<Place>;
  readonly #fileUrls = new ByteSpanList();
  #lastSerial: number | undefined;
  #version: string | undefined;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#places = new JsonPlaces(bytes, PLACES);
  }

  key(start: number, end: number): void {
    this.#places.key(start, end);
    const { member } = this.#places;
    if (member === "last_serial") this.#lastSerial = undefined;
    if (member === "version" || member === "info") this.#version = undefined;
  }

  string(start: number, end: number): void {
    const { member } = this.#places;
    if (member === "url") this.#fileUrls.add(start, end);
    if (member === "version" && end - start <= MAX_VERSION_BYTES) {
      this.#version = decodeText(this.#bytes, start, end);
    }
  }

  number(start: number, end: number): void {
    if (this.#places.member === "last_serial") this.#lastSerial = readSerial(this.#bytes, start, end);
  }

  open(container: "object" | "array"): void {
    this.#places.open(container);
  }

  close(): void {
    this.#places.close();
  }

  view(): DocumentView {
    return { lastSerial: this.#lastSerial, version: this.#version, fileUrls: this.#fileUrls };
  }
}

/**
 * Proves that a body is exactly one JSON object, and finds what larder needs to know of it, in one pass over the
 * bytes. No tree is built, for a document can be 30 MB (facts/pypi.md §6), and one that JavaScript writes anew
 * comes out with its keys in another order (§8.2).
 *
 * @returns the view itself up to 256 KiB; beyond, a promise of it: the event loop has turns in between
 * @throws NotJson the body cannot be trusted (thrown at once, or the rejection of the promise)
 */
export function scanDocument(bytes: Buffer): DocumentView | Promise<DocumentView> {
  return inSlices(scanning(bytes, new DocumentReader(bytes)));
}
