import { inSlices } from "../event-loop.ts";
import { ByteSpanList, type ByteSpans } from "./byte-spans.ts";
import { JsonPlaces, membersNamed, type PlaceTable } from "./json-places.ts";
import { type JsonReader, scanning } from "./json-scanner.ts";
import { readSerial } from "./json-text.ts";

/** What larder needs to know of a project's page of the Simple API in JSON (PEP 691). */
export interface SimpleJsonView {
  /** `meta._last-serial`; undefined where it is missing or no non-negative safe integer. */
  readonly lastSerial: number | undefined;
  /** Whether it has an array `files`, as a project's page must (PEP 691): an error in JSON has none. */
  readonly hasFiles: boolean;
  /** Where the strings `files[].url` and `files[].provenance` stand, in order, without their quotes. */
  readonly urls: ByteSpans;
}

/** Where a scan is. `files` is the array of file entries, `file` one of them. */
export type SimplePlace = "outside" | "page" | "meta" | "files" | "file" | "elsewhere";

/** The containers of a project's page in JSON (facts/pypi.md §2.5). */
export const SIMPLE_PLACES: PlaceTable<SimplePlace> = {
  outside: "outside",
  members: {
    page: membersNamed("files", "meta"),
    meta: membersNamed("_last-serial"),
    file: membersNamed("url", "provenance", "filename"),
  },
  within: (place, name, container) => {
    if (place === "outside") return "page";
    if (place === "files") return container === "object" ? "file" : "elsewhere";
    // Only the page itself has members of these names that matter.
    if (name === "files" && container === "array") return "files";
    return name === "meta" ? "meta" : "elsewhere";
  },
};

/** Follows a scan through the page. Of several members of one name the last counts, as for any JSON parser. */
class SimpleReader implements JsonReader<SimpleJsonView> {
  readonly #bytes: Buffer;
  readonly #places: JsonPlaces<SimplePlace>;
  readonly #urls = new ByteSpanList();
  #lastSerial: number | undefined;
  #hasFiles = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#places = new JsonPlaces(bytes, SIMPLE_PLACES);
  }

  key(start: number, end: number): void {
    this.#places.key(start, end);
    const { member } = this.#places;
    if (member === "_last-serial" || member === "meta") this.#lastSerial = undefined;
    if (member === "files") this.#hasFiles = false;
  }

  string(start: number, end: number): void {
    const { member } = this.#places;
    if (member === "url" || member === "provenance") this.#urls.add(start, end);
  }

  number(start: number, end: number): void {
    if (this.#places.member === "_last-serial") this.#lastSerial = readSerial(this.#bytes, start, end);
  }

  open(container: "object" | "array"): void {
    this.#places.open(container);
    if (this.#places.place === "files") this.#hasFiles = true;
  }

  close(): void {
    this.#places.close();
  }

  view(): SimpleJsonView {
    return { lastSerial: this.#lastSerial, hasFiles: this.#hasFiles, urls: this.#urls };
  }
}

/**
 * Proves that a body is exactly one JSON object, and finds what larder needs to know of it as a project's page, in one
 * pass over the bytes. See `scanDocument`, its like for the JSON API.
 *
 * @returns the view itself up to 256 KiB; beyond, a promise of it: the event loop has turns in between
 * @throws NotJson the body cannot be trusted (thrown at once, or the rejection of the promise)
 */
export function scanSimpleJson(bytes: Buffer): SimpleJsonView | Promise<SimpleJsonView> {
  return inSlices(scanning(bytes, new SimpleReader(bytes)));
}
