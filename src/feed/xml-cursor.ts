/** The bytes are no XML-RPC answer of the form that was expected. The message says where. */
export class NotXmlRpc extends Error {
  override readonly name = "NotXmlRpc";
}

/** A tag, as bytes: made once, compared a million times. */
export type Tag = Buffer;

export const tag = (name: string): Tag => Buffer.from(`<${name}>`);

const LESS_THAN = 0x3c;
const AMPERSAND = 0x26;

const ENTITY = /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));|&/g;
const NAMED: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const MAX_CODE_POINT = 0x10ffff;

/**
 * A place in the bytes of an XML document that is made of elements without attributes, and of text. Nothing else is
 * understood: no comments, no CDATA, no entities of its own; such bytes are refused.
 */
export class XmlCursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Steps over blanks and, if it comes next, over the tag. */
  takes(expected: Tag): boolean {
    this.skipBlanks();
    const bytes = this.#bytes;
    const from = this.#at;
    for (let i = 0; i < expected.length; i++) {
      if (bytes[from + i] !== expected[i]) return false;
    }
    this.#at = from + expected.length;
    return true;
  }

  /** @throws NotXmlRpc when another thing comes next */
  expect(expected: Tag): void {
    if (!this.takes(expected)) this.fail(`expected ${expected.toString("latin1")}`);
  }

  /** Steps over the XML declaration, where there is one. */
  skipDeclaration(): void {
    if (!this.#bytes.subarray(0, 5).equals(DECLARATION)) return;
    const end = this.#bytes.subarray(0, MAX_DECLARATION_BYTES).indexOf("?>");
    if (end < 0) this.fail("the XML declaration has no end");
    this.#at = end + 2;
  }

  /** The text up to the next tag, its references replaced. */
  text(): string {
    const start = this.#at;
    this.skipText();
    const text = this.#bytes.toString("utf8", start, this.#at);
    return this.#bytes.subarray(start, this.#at).includes(AMPERSAND) ? this.#dereferenced(text) : text;
  }

  skipText(): void {
    const end = this.#bytes.indexOf(LESS_THAN, this.#at);
    if (end < 0) this.fail("the text has no end");
    this.#at = end;
  }

  skipBlanks(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }

  /** @throws NotXmlRpc when there is more than blanks */
  expectEnd(): void {
    this.skipBlanks();
    if (this.#at < this.#bytes.length) this.fail("more than one document");
  }

  /** @throws NotXmlRpc */
  fail(why: string): never {
    throw new NotXmlRpc(`${why} at byte ${this.#at}`);
  }

  #dereferenced(text: string): string {
    return text.replace(ENTITY, (_, name?: string, decimal?: string, hex?: string) => {
      if (name !== undefined) return NAMED[name] ?? "";
      const digits = decimal ?? hex;
      if (digits === undefined) return this.fail("a reference that is none");
      const point = Number.parseInt(digits, decimal === undefined ? 16 : 10);
      return point > MAX_CODE_POINT ? this.fail("a reference to no character") : String.fromCodePoint(point);
    });
  }
}

const DECLARATION = Buffer.from("<?xml");
const MAX_DECLARATION_BYTES = 200;
