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
const LOWER_U = 0x75;
const AS_LOWER = 0x20; // the bit by which ASCII's small letters differ from its capitals

const LITERALS: ReadonlyMap<number | undefined, Buffer> = new Map(
  ["true", "false", "null"].map((word) => [word.charCodeAt(0), Buffer.from(word)]),
);
/** 1 for what is part of a string as it is. */
const MEANS_ITSELF = new Uint8Array(256).map((_, byte) =>
  Number(byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH),
);
const ESCAPABLE = new Set(Buffer.from('"\\/bfnrt'));

/** What may come next, in the words of the error message. `key text` and `string text`: within the quotes. */
type Expected =
  | "'{'"
  | "a key or '}'"
  | "a key"
  | "key text"
  | "':'"
  | "a value or ']'"
  | "a value"
  | "string text"
  | "',' or the close"
  | "nothing more";

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
  readonly #events: JsonEvents;
  /** By depth: 1 for an object, 0 for an array. */
  readonly #isObject = new Uint8Array(MAX_DEPTH + 1);
  #depth = 0;
  #at = 0;
  #expected: Expected = "'{'";
  #textStart = 0;

  constructor(bytes: Uint8Array, events: JsonEvents) {
    this.#bytes = bytes;
    this.#events = events;
  }

  /**
   * Goes on for about `sliceBytes` bytes (a token more at most).
   *
   * @returns whether the end is reached: all bytes are then known to be one JSON object
   * @throws NotJson
   */
  scan(sliceBytes: number): boolean {
    const limit = Math.min(this.#bytes.length, this.#at + sliceBytes);
    while (this.#at < limit) {
      if (this.#expected === "key text" || this.#expected === "string text") this.#text(limit);
      else if (isSpace(this.#bytes[this.#at])) this.#at++;
      else this.#expected = this.#token(this.#bytes[this.#at]);
    }
    if (limit < this.#bytes.length) return false;
    if (this.#expected !== "nothing more") this.#fail();
    return true;
  }

  /** Takes the token that begins with `byte`, and says what may come after it. */
  #token(byte: number | undefined): Expected {
    switch (this.#expected) {
      case "'{'":
        return byte === OPEN_OBJECT ? this.#open("object") : this.#fail();
      case "a key or '}'":
        return byte === CLOSE_OBJECT ? this.#close() : this.#key(byte);
      case "a key":
        return this.#key(byte);
      case "':'":
        return byte === COLON ? this.#step("a value") : this.#fail();
      case "a value or ']'":
        return byte === CLOSE_ARRAY ? this.#close() : this.#value(byte);
      case "a value":
        return this.#value(byte);
      case "',' or the close":
        return this.#afterValue(byte);
      default:
        return this.#fail();
    }
  }

  #key(byte: number | undefined): Expected {
    return byte === QUOTE ? this.#openText("key text") : this.#fail();
  }

  #value(byte: number | undefined): Expected {
    if (byte === QUOTE) return this.#openText("string text");
    if (byte === OPEN_OBJECT) return this.#open("object");
    if (byte === OPEN_ARRAY) return this.#open("array");
    return byte === MINUS || isDigit(byte) ? this.#number() : this.#literal(byte);
  }

  #afterValue(byte: number | undefined): Expected {
    const inObject = this.#isObject[this.#depth] === 1;
    if (byte === COMMA) return this.#step(inObject ? "a key" : "a value");
    return byte === (inObject ? CLOSE_OBJECT : CLOSE_ARRAY) ? this.#close() : this.#fail();
  }

  #open(container: "object" | "array"): Expected {
    if (this.#depth === MAX_DEPTH) this.#fail(`no more than ${MAX_DEPTH} levels`);
    this.#depth++;
    this.#isObject[this.#depth] = container === "object" ? 1 : 0;
    this.#events.open(container, this.#at);
    return this.#step(container === "object" ? "a key or '}'" : "a value or ']'");
  }

  #close(): Expected {
    this.#depth--;
    this.#events.close(this.#at + 1);
    return this.#step(this.#depth === 0 ? "nothing more" : "',' or the close");
  }

  #openText(text: "key text" | "string text"): Expected {
    this.#textStart = this.#at + 1;
    return this.#step(text);
  }

  /** Steps over one byte. */
  #step(expected: Expected): Expected {
    this.#at++;
    return expected;
  }

  /** Goes on within a string, up to and with its closing quote or as far as `limit`. */
  #text(limit: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < limit) {
      // One look for each byte, instead of a comparison with each that means something.
      while (at < limit && MEANS_ITSELF[bytes[at] ?? 0] === 1) at++;
      if (at >= limit || bytes[at] === QUOTE) break;
      if (bytes[at] !== BACKSLASH) this.#fail("no control character in a string", at);
      at = this.#afterEscape(at);
    }
    this.#at = at;
    if (at < limit) this.#expected = this.#closeText(at);
  }

  #closeText(end: number): Expected {
    if (this.#expected === "key text") {
      this.#events.key(this.#textStart, end);
      return this.#step("':'");
    }
    this.#events.string(this.#textStart, end);
    return this.#step("',' or the close");
  }

  #afterEscape(backslash: number): number {
    const escaped = this.#bytes[backslash + 1];
    if (escaped !== undefined && ESCAPABLE.has(escaped)) return backslash + 2;
    if (escaped !== LOWER_U) this.#fail("an escape", backslash + 1);
    for (let at = backslash + 2; at < backslash + 6; at++) {
      if (!isHexDigit(this.#bytes[at])) this.#fail("a hexadecimal digit", at);
    }
    return backslash + 6;
  }

  #number(): Expected {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = bytes[start] === MINUS ? start + 1 : start;
    at = bytes[at] === ZERO ? at + 1 : this.#afterDigits(at);
    if (bytes[at] === DOT) at = this.#afterDigits(at + 1);
    if (((bytes[at] ?? 0) | AS_LOWER) === LOWER_E) {
      const signed = bytes[at + 1] === PLUS || bytes[at + 1] === MINUS;
      at = this.#afterDigits(at + (signed ? 2 : 1));
    }
    this.#events.number(start, at);
    this.#at = at;
    return "',' or the close";
  }

  #afterDigits(start: number): number {
    if (!isDigit(this.#bytes[start])) this.#fail("a digit", start);
    const longest = this.#at + MAX_NUMBER_BYTES;
    let at = start + 1;
    while (isDigit(this.#bytes[at])) {
      at++;
      if (at > longest) this.#fail(`a number of at most ${MAX_NUMBER_BYTES} bytes`, at);
    }
    return at;
  }

  #literal(byte: number | undefined): Expected {
    const word = LITERALS.get(byte);
    if (word === undefined) return this.#fail();
    for (let i = 1; i < word.length; i++) {
      if (this.#bytes[this.#at + i] !== word[i]) this.#fail(word.toString(), this.#at + i);
    }
    this.#at += word.length;
    return "',' or the close";
  }

  #fail(expected: string = this.#expected, offset: number = this.#at): never {
    throw new NotJson(this.#bytes, offset, expected);
  }
}
