import { inSlices } from "../event-loop.ts";
import { ByteSpanList, type ByteSpans } from "./byte-spans.ts";
import { JsonScanner, type JsonEvents } from "./json-scanner.ts";
import { decodeText, isText } from "./json-text.ts";

/** How many bytes are scanned in one turn of the event loop: about 1 ms, and up to 10 before V8 has compiled it. */
const SLICE_BYTES = 262_144;

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

/** Where a scan is: in which container of the document. `files` is an array of file entries, `file` one of them. */
type Place = "outside" | "document" | "info" | "releases" | "files" | "file" | "elsewhere";

const member = (name: string) => ({ name, text: Buffer.from(name) });

/** The members that matter, by the place of their object. */
const MEMBERS: Readonly<Record<Place, readonly ReturnType<typeof member>[]>> = {
  outside: [],
  document: ["info", "last_serial", "releases", "urls"].map(member),
  info: [member("version")],
  releases: [],
  files: [],
  file: [member("url")],
  elsewhere: [],
};

/** No member, or none that matters. A string as the others are: V8 compares strings of one kind faster. */
const NO_MEMBER = "";

/** What a container is that stands at `place`, there as the member `name`: only a place's own members have names. */
function placeWithin(place: Place, name: string, container: "object" | "array"): Place {
  if (place === "outside") return "document";
  if (container === "array") return place === "releases" || name === "urls" ? "files" : "elsewhere";
  if (place === "files") return "file";
  return name === "info" || name === "releases" ? name : "elsewhere";
}

/** Follows a scan through the document. Of several members of one name the last counts, as for any JSON parser. */
class DocumentReader implements JsonEvents {
  readonly #bytes: Buffer;
  readonly #fileUrls = new ByteSpanList();
  readonly #outer: Place[] = [];
  #place: Place = "outside";
  #members = MEMBERS.outside;
  /** Which of the place's members the next value is. */
  #member = NO_MEMBER;
  #lastSerial: number | undefined;
  #version: string | undefined;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  key(start: number, end: number): void {
    this.#member = NO_MEMBER;
    if (this.#members.length === 0) return;
    this.#member = this.#memberAt(start, end);
    if (this.#member === "last_serial") this.#lastSerial = undefined;
    if (this.#member === "version" || this.#member === "info") this.#version = undefined;
  }

  #memberAt(start: number, end: number): string {
    for (const { name, text } of this.#members) {
      if (isText(this.#bytes, start, end, text)) return name;
    }
    return NO_MEMBER;
  }

  string(start: number, end: number): void {
    if (this.#member === "url") this.#fileUrls.add(start, end);
    if (this.#member === "version" && end - start <= MAX_VERSION_BYTES) {
      this.#version = decodeText(this.#bytes, start, end);
    }
  }

  number(start: number, end: number): void {
    if (this.#member !== "last_serial") return;
    const serial = Number(this.#bytes.toString("latin1", start, end));
    if (Number.isSafeInteger(serial) && serial >= 0) this.#lastSerial = serial;
  }

  open(container: "object" | "array"): void {
    this.#outer.push(this.#place);
    this.#enter(placeWithin(this.#place, this.#member, container));
  }

  close(): void {
    this.#enter(this.#outer.pop() ?? "outside");
  }

  #enter(place: Place): void {
    this.#place = place;
    this.#members = MEMBERS[place];
    // Else what follows in an array would pass for the last member of the object before it.
    this.#member = NO_MEMBER;
  }

  view(): DocumentView {
    return { lastSerial: this.#lastSerial, version: this.#version, fileUrls: this.#fileUrls };
  }
}

function* scanning(bytes: Buffer): Generator<undefined, DocumentView> {
  const reader = new DocumentReader(bytes);
  const scanner = new JsonScanner(bytes, reader);
  while (!scanner.scan(SLICE_BYTES)) yield;
  return reader.view();
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
  return inSlices(scanning(bytes));
}
