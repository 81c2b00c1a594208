import { isHtmlName } from "./html-text.ts";
import { NotHtml } from "./not-html.ts";

/** What a scan comes upon, in order. Offsets are of bytes, end exclusive, not decoded. */
export interface HtmlEvents {
  /** A start tag; its attributes come next. */
  startTag(nameStart: number, nameEnd: number): void;
  /** An attribute of the start tag. The value is without its quotes; from 0 to 0 where it has none. */
  attribute(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void;
  endTag(nameStart: number, nameEnd: number): void;
  /** What stands between `<!--` and `-->`. */
  comment(start: number, end: number): void;
  /** The contents of an element that has only text, by what its tag says: `title`, `script` and so on. */
  rawText(start: number, end: number): void;
}

const TAB = 0x09;
const SPACE = 0x20;
const BANG = 0x21;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const DASH = 0x2d;
const SLASH = 0x2f;
const LESS = 0x3c;
const EQUALS = 0x3d;
const GREATER = 0x3e;
const QUESTION = 0x3f;
const AS_LOWER = 0x20; // the bit by which ASCII's small letters differ from its capitals

/** Elements that have no elements within: a `<a href>` there is text (HTML §13.2.5, raw text and RCDATA). */
const RAW = ["iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"].map((name) =>
  Buffer.from(name),
);

/** What the scan is in, in the words of the error message for a page that ends there. */
type Within =
  | "text"
  | "a comment"
  | "a declaration"
  | "an element of raw text"
  | "a tag's name"
  | "a tag"
  | "an attribute's name"
  | "the room after an attribute's name"
  | "the room before a value"
  | "a quoted value"
  | "an unquoted value";

const isSpace = (byte: number | undefined): boolean =>
  byte === SPACE || byte === 0x0a || byte === TAB || byte === 0x0d || byte === 0x0c;

const isLetter = (byte: number | undefined): boolean =>
  byte !== undefined && (byte | AS_LOWER) >= 0x61 && (byte | AS_LOWER) <= 0x7a;

/**
 * Goes through bytes as the tokenizer of HTML does (HTML §13.2.5), as far as tags, attributes and comments need it,
 * and tells what it comes upon. It can stop anywhere. What HTML calls a parse error is read as browsers read it, but
 * for a page that ends within a tag or a comment: that one was cut short.
 */
export class HtmlScanner {
  readonly #bytes: Buffer;
  readonly #events: HtmlEvents;
  #at = 0;
  #within: Within = "text";
  #isEndTag = false;
  /** The element of raw text that the tag begins, if so. */
  #raw: Buffer | undefined;
  /** Where the name, the comment or the raw text began. */
  #start = 0;
  #nameStart = 0;
  #nameEnd = 0;
  #valueStart = 0;
  #quote = 0;

  constructor(bytes: Buffer, events: HtmlEvents) {
    this.#bytes = bytes;
    this.#events = events;
  }

  /**
   * Goes on for about `sliceBytes` bytes.
   *
   * @returns whether the end is reached
   * @throws NotHtml the page ends within something
   */
  scan(sliceBytes: number): boolean {
    const limit = Math.min(this.#bytes.length, this.#at + sliceBytes);
    while (this.#at < limit) this.#step(limit);
    if (limit < this.#bytes.length) return false;
    if (this.#within !== "text") throw new NotHtml(this.#bytes.length, `it ends within ${this.#within}`);
    return true;
  }

  #step(limit: number): void {
    switch (this.#within) {
      case "text":
        this.#text(limit);
        break;
      case "a comment":
        this.#comment(limit);
        break;
      case "a declaration":
        this.#declaration(limit);
        break;
      case "an element of raw text":
        this.#rawText(limit);
        break;
      case "a tag's name":
        this.#tagName(limit);
        break;
      case "a tag":
        this.#beforeAttribute(limit);
        break;
      case "an attribute's name":
        this.#attributeName(limit);
        break;
      case "the room after an attribute's name":
        this.#afterAttributeName(limit);
        break;
      case "the room before a value":
        this.#beforeValue(limit);
        break;
      case "a quoted value":
        this.#quotedValue(limit);
        break;
      case "an unquoted value":
        this.#unquotedValue(limit);
        break;
    }
  }

  /** Goes on to the next byte of this value, or to `limit`: tells whether it has found one. */
  #find(wanted: number, limit: number): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < limit && bytes[at] !== wanted) at++;
    this.#at = at;
    return at < limit;
  }

  #skipSpace(limit: number): boolean {
    while (this.#at < limit && isSpace(this.#bytes[this.#at])) this.#at++;
    return this.#at < limit;
  }

  #text(limit: number): void {
    if (!this.#find(LESS, limit)) return;
    const next = this.#bytes[this.#at + 1];
    if (isLetter(next)) this.#enterTag(false, 1);
    else if (next === SLASH && isLetter(this.#bytes[this.#at + 2])) this.#enterTag(true, 2);
    else if (next === BANG && this.#startsComment()) this.#enter("a comment", 4);
    else if (next === BANG || next === QUESTION || next === SLASH) this.#enter("a declaration", 2);
    else this.#at++;
  }

  #startsComment(): boolean {
    return this.#bytes[this.#at + 2] === DASH && this.#bytes[this.#at + 3] === DASH;
  }

  #enterTag(isEndTag: boolean, mark: number): void {
    this.#isEndTag = isEndTag;
    this.#raw = undefined;
    this.#enter("a tag's name", mark);
  }

  /** Steps over `length` bytes, into something. */
  #enter(within: Within, length: number): void {
    this.#at += length;
    this.#start = this.#at;
    this.#within = within;
  }

  /** Ends at `-->` or `--!>`; also at the `>` of `<!-->` and `<!--->`, whose dashes are the opening ones. */
  #comment(limit: number): void {
    if (!this.#find(GREATER, limit)) return;
    const at = this.#at;
    const bytes = this.#bytes;
    const hasBang = bytes[at - 1] === BANG && at - 3 >= this.#start;
    const end = at - (hasBang ? 3 : 2);
    if (bytes[end] === DASH && bytes[end + 1] === DASH) {
      this.#events.comment(this.#start, Math.max(this.#start, end));
      this.#within = "text";
    }
    this.#at++;
  }

  #declaration(limit: number): void {
    if (this.#find(GREATER, limit)) this.#enter("text", 1);
  }

  #rawText(limit: number): void {
    if (!this.#find(LESS, limit)) return;
    if (!this.#endsRawText()) {
      this.#at++;
      return;
    }
    this.#events.rawText(this.#start, this.#at);
    this.#enterTag(true, 2);
  }

  #endsRawText(): boolean {
    const nameStart = this.#at + 2;
    const nameEnd = nameStart + (this.#raw?.length ?? 0);
    const after = this.#bytes[nameEnd];
    return (
      this.#raw !== undefined &&
      this.#bytes[this.#at + 1] === SLASH &&
      isHtmlName(this.#bytes, nameStart, nameEnd, this.#raw) &&
      (isSpace(after) || after === SLASH || after === GREATER)
    );
  }

  #tagName(limit: number): void {
    if (!this.#skipName(limit)) return;
    if (this.#isEndTag) this.#events.endTag(this.#start, this.#at);
    else {
      this.#raw = RAW.find((name) => isHtmlName(this.#bytes, this.#start, this.#at, name));
      this.#events.startTag(this.#start, this.#at);
    }
    this.#within = "a tag";
  }

  /** Goes on to the first byte that no name of a tag has; of an attribute, `=` ends it too. */
  #skipName(limit: number): boolean {
    const bytes = this.#bytes;
    const equals = this.#within === "an attribute's name" ? EQUALS : GREATER;
    let at = this.#at;
    while (at < limit) {
      const byte = bytes[at];
      if (byte === GREATER || byte === SLASH || byte === equals || isSpace(byte)) break;
      at++;
    }
    this.#at = at;
    return at < limit;
  }

  #beforeAttribute(limit: number): void {
    if (!this.#skipSpace(limit)) return;
    const byte = this.#bytes[this.#at];
    if (byte === GREATER) this.#closeTag();
    else if (byte === SLASH) this.#at++;
    else {
      this.#nameStart = this.#at;
      // HTML §13.2.5.32: a `=` here is the first byte of the name.
      this.#at += byte === EQUALS ? 1 : 0;
      this.#within = "an attribute's name";
    }
  }

  #closeTag(): void {
    this.#enter(this.#raw === undefined ? "text" : "an element of raw text", 1);
  }

  #attributeName(limit: number): void {
    if (!this.#skipName(limit)) return;
    this.#nameEnd = this.#at;
    this.#within = "the room after an attribute's name";
  }

  #afterAttributeName(limit: number): void {
    if (!this.#skipSpace(limit)) return;
    if (this.#bytes[this.#at] === EQUALS) this.#enter("the room before a value", 1);
    else this.#tellAttribute(0, 0);
  }

  #tellAttribute(valueStart: number, valueEnd: number): void {
    if (!this.#isEndTag) this.#events.attribute(this.#nameStart, this.#nameEnd, valueStart, valueEnd);
    this.#within = "a tag";
  }

  #beforeValue(limit: number): void {
    if (!this.#skipSpace(limit)) return;
    const byte = this.#bytes[this.#at] ?? 0;
    if (byte === GREATER) {
      this.#tellAttribute(0, 0);
      return;
    }
    const isQuoted = byte === QUOTE || byte === APOSTROPHE;
    this.#quote = byte;
    this.#enter(isQuoted ? "a quoted value" : "an unquoted value", isQuoted ? 1 : 0);
    this.#valueStart = this.#at;
  }

  #quotedValue(limit: number): void {
    if (!this.#find(this.#quote, limit)) return;
    this.#tellAttribute(this.#valueStart, this.#at);
    this.#at++;
  }

  #unquotedValue(limit: number): void {
    const bytes = this.#bytes;
    while (this.#at < limit && bytes[this.#at] !== GREATER && !isSpace(bytes[this.#at])) this.#at++;
    if (this.#at < limit) this.#tellAttribute(this.#valueStart, this.#at);
  }
}
