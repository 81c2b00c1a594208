import { plainEnd } from "./json-runs.ts";
import { NotJson } from "./not-json.ts";

/** How deep a document may nest. PyPI's nest 5 deep; this keeps rubbish from costing memory. */
export const MAX_DEPTH = 512;

/** How long a number may be written. It is read in one go, so it needs a bound. */
export const MAX_NUMBER_BYTES = 1_024;

/** What a scan comes upon, in order. Offsets are of bytes, end exclusive, without the quotes and not decoded. */
export interface JsonEvents {
  /** The name of the member whose value comes next. */
  key(start: number, end: number): void;
  /** A string that is a value. */
  string(start: number, end: number): void;
  number(start: number, end: number): void;
  /** @param start where its bracket stands */
  open(container: "object" | "array", start: number): void;
  /**
   * The container that was opened last and is not closed yet, ends.
   * @param end behind its bracket
   */
  close(end: number): void;
}

/** What follows a scan, and has something to say of the document when it is at its end. */
export interface JsonReader<T> extends JsonEvents {
  view(): T;
  /** Whether the rest need not be looked at: the grammar of that is then not checked either. */
  readonly isDone?: boolean;
}

/** How many bytes are scanned in one turn of the event loop: about 1 ms, and up to 10 before V8 has compiled it. */
const SLICE_BYTES = 262_144;

/**
 * Has a reader follow a scan of the bytes, for `inSlices`: done before its first `yield` up to 256 KiB.
 * @throws NotJson
 */
export function* scanning<T>(bytes: Buffer, reader: JsonReader<T>): Generator<undefined, T> {
  const scanner = new JsonScanner(bytes, reader);
  while (!scanner.scan(SLICE_BYTES) && reader.isDone !== true) yield;
  return reader.view();
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const LOWER_E = 0x65;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const LOWER_U = 0x75;
const AS_LOWER = 0x20; // the bit by which ASCII's small letters differ from its capitals

const [TRUE, FALSE, NULL] = ["true", "false", "null"].map((word) => Buffer.from(word));
const ESCAPABLE = new Set(Buffer.from('"\\/bfnrt'));

/** What may come next. Numbers, for they are looked at with every token; `WORDS` says them in an error message. */
const KEY_OR_CLOSE = 0;
const KEY = 1;
const VALUE_OR_CLOSE = 2;
const VALUE = 3;
const KEY_TEXT = 4; // within its quotes
const STRING_TEXT = 5; // likewise
const AFTER_KEY = 6;
const AFTER_VALUE = 7;
const DOCUMENT = 8;
const NOTHING_MORE = 9;
const WORDS = [
  "a key or '}'",
  "a key",
  "a value or ']'",
  "a value",
  "key text",
  "string text",
  "':'",
  "',' or the close",
  "'{'",
  "nothing more",
];

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= ZERO && byte <= 0x39;

const isHexDigit = (byte: number | undefined): boolean =>
  byte !== undefined && (isDigit(byte) || ((byte | AS_LOWER) >= 0x61 && (byte | AS_LOWER) <= 0x66));

/**
 * Checks bytes against the grammar of RFC 8259, front to back, and tells what it comes upon.
 * It can stop between any two tokens and anywhere within a string, which is all that can be long.
 */
export class JsonScanner {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #events: JsonEvents;
  /** By depth: 1 for an object, 0 for an array. */
  readonly #isObject = new Uint8Array(MAX_DEPTH + 1);
  #depth = 0;
  #inObject = false;
  #at = 0;
  #expected = DOCUMENT;
  #textStart = 0;

  constructor(bytes: Uint8Array, events: JsonEvents) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#events = events;
  }

  /**
   * Goes on for about `sliceBytes` bytes (a token more at most).
   *
   * @returns whether the end is reached: all bytes are then known to be one JSON object
   * @throws NotJson
   */
  scan(sliceBytes: number): boolean {
    const bytes = this.#bytes;
    const view = this.#view;
    const events = this.#events;
    const limit = Math.min(bytes.length, this.#at + sliceBytes);
    // One loop over local variables: a method for each kind of token, and fields in between, take as long again.
    let at = this.#at;
    let textStart = this.#textStart;
    let inObject = this.#inObject;
    let expected = this.#expected;
    if (expected === KEY_TEXT || expected === STRING_TEXT) at = plainEnd(view, at, limit);
    while (at < limit) {
      const byte = bytes[at] ?? 0;
      if (byte === QUOTE && expected <= VALUE) {
        at++;
        textStart = at;
        expected = expected <= KEY ? KEY_TEXT : STRING_TEXT;
        at = plainEnd(view, at, limit);
      }
      if (expected === KEY_TEXT || expected === STRING_TEXT) {
        if (at >= limit) break;
        if (bytes[at] !== QUOTE) {
          at = plainEnd(view, this.#afterEscape(at), limit);
        } else if (expected === KEY_TEXT) {
          events.key(textStart, at);
          at++;
          expected = AFTER_KEY;
          if (bytes[at] === COLON) {
            at++;
            expected = VALUE;
          }
        } else {
          events.string(textStart, at);
          at++;
          expected = AFTER_VALUE;
        }
        continue;
      }
      if (byte === COMMA && expected === AFTER_VALUE) {
        at++;
        expected = inObject ? KEY : VALUE;
      } else if (byte === COLON && expected === AFTER_KEY) {
        at++;
        expected = VALUE;
      } else if (isSpace(byte)) {
        at++;
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        expected = this.#open(byte, expected, at);
        inObject = byte === OPEN_OBJECT;
        at++;
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        expected = this.#close(byte, expected, at);
        inObject = this.#isObject[this.#depth] === 1;
        at++;
      } else {
        if (expected !== VALUE && expected !== VALUE_OR_CLOSE) this.#fail(at, WORDS[expected]);
        at = byte === MINUS || isDigit(byte) ? this.#number(at) : this.#literal(byte, at, expected);
        expected = AFTER_VALUE;
      }
    }
    this.#at = at;
    this.#textStart = textStart;
    this.#inObject = inObject;
    this.#expected = expected;
    if (limit < bytes.length) return false;
    if (expected !== NOTHING_MORE) this.#fail(at, WORDS[expected]);
    return true;
  }

  #open(bracket: number, expected: number, at: number): number {
    const isObject = bracket === OPEN_OBJECT;
    const mayOpen = expected === VALUE || expected === VALUE_OR_CLOSE || (isObject && expected === DOCUMENT);
    if (!mayOpen) this.#fail(at, WORDS[expected]);
    if (this.#depth === MAX_DEPTH) this.#fail(at, `no more than ${MAX_DEPTH} levels`);
    this.#depth++;
    this.#isObject[this.#depth] = isObject ? 1 : 0;
    this.#events.open(isObject ? "object" : "array", at);
    return isObject ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
  }

  #close(bracket: number, expected: number, at: number): number {
    const inObject = this.#isObject[this.#depth] === 1;
    const mayClose = expected === AFTER_VALUE || expected === (inObject ? KEY_OR_CLOSE : VALUE_OR_CLOSE);
    if (!mayClose || bracket !== (inObject ? CLOSE_OBJECT : CLOSE_ARRAY)) this.#fail(at, WORDS[expected]);
    this.#depth--;
    this.#events.close(at + 1);
    return this.#depth === 0 ? NOTHING_MORE : AFTER_VALUE;
  }

  /** @throws NotJson where what stands there is no escape either */
  #afterEscape(backslash: number): number {
    if (this.#bytes[backslash] !== BACKSLASH) this.#fail(backslash, "no control character in a string");
    const escaped = this.#bytes[backslash + 1];
    if (escaped !== undefined && ESCAPABLE.has(escaped)) return backslash + 2;
    if (escaped !== LOWER_U) this.#fail(backslash + 1, "an escape");
    for (let at = backslash + 2; at < backslash + 6; at++) {
      if (!isHexDigit(this.#bytes[at])) this.#fail(at, "a hexadecimal digit");
    }
    return backslash + 6;
  }

  #number(start: number): number {
    const bytes = this.#bytes;
    let at = bytes[start] === MINUS ? start + 1 : start;
    at = bytes[at] === ZERO ? at + 1 : this.#afterDigits(at, start);
    if (bytes[at] === DOT) at = this.#afterDigits(at + 1, start);
    if (((bytes[at] ?? 0) | AS_LOWER) === LOWER_E) {
      const signed = bytes[at + 1] === PLUS || bytes[at + 1] === MINUS;
      at = this.#afterDigits(at + (signed ? 2 : 1), start);
    }
    this.#events.number(start, at);
    return at;
  }

  #afterDigits(start: number, numberStart: number): number {
    if (!isDigit(this.#bytes[start])) this.#fail(start, "a digit");
    const longest = numberStart + MAX_NUMBER_BYTES;
    let at = start + 1;
    while (isDigit(this.#bytes[at])) {
      at++;
      if (at > longest) this.#fail(at, `a number of at most ${MAX_NUMBER_BYTES} bytes`);
    }
    return at;
  }

  #literal(byte: number, at: number, expected: number): number {
    const word = byte === LOWER_N ? NULL : byte === LOWER_F ? FALSE : byte === LOWER_T ? TRUE : undefined;
    if (word === undefined) return this.#fail(at, WORDS[expected]);
    for (let i = 1; i < word.length; i++) {
      if (this.#bytes[at + i] !== word[i]) this.#fail(at + i, word.toString());
    }
    return at + word.length;
  }

  #fail(offset: number, expected = ""): never {
    throw new NotJson(this.#bytes, offset, expected);
  }
}
