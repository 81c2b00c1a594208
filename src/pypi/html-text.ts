import type { TextSyntax } from "./url-moves.ts";

const AMPERSAND = 0x26;
const AS_LOWER = 0x20; // the bit by which ASCII's small letters differ from its capitals

/** Those of the named character references that a URL's beginning can have (HTML §13.5). */
const NAMED: ReadonlyMap<string, number> = new Map([
  ["amp", 0x26],
  ["apos", 0x27],
  ["colon", 0x3a],
  ["gt", 0x3e],
  ["lowbar", 0x5f],
  ["lt", 0x3c],
  ["num", 0x23],
  ["period", 0x2e],
  ["quot", 0x22],
  ["sol", 0x2f],
]);

const REFERENCE = /^&(?:#(?<decimal>[0-9]{1,7});?|#[xX](?<hex>[0-9a-fA-F]{1,6});?|(?<name>[a-z]{2,6});)/;
const MAX_REFERENCE_BYTES = 10;

interface Reference {
  readonly codePoint: number;
  readonly end: number;
}

function referenceAt(bytes: Buffer, at: number, end: number): Reference | undefined {
  const match = REFERENCE.exec(bytes.toString("latin1", at, Math.min(end, at + MAX_REFERENCE_BYTES)));
  const { decimal, hex, name } = match?.groups ?? {};
  const codePoint =
    name !== undefined
      ? NAMED.get(name)
      : Number.parseInt(decimal ?? hex ?? "", decimal === undefined ? 16 : 10);
  if (match === null || codePoint === undefined) return undefined;
  return { codePoint, end: at + match[0].length };
}

/**
 * Tells whether the value of an attribute begins with a text, however it is written, without decoding the rest of it.
 *
 * @param start where the value begins, after its quote if it has one
 * @param text ASCII
 * @returns the offset behind the text in the value as written, or -1 where it does not begin with it
 */
export function afterHtmlPrefix(bytes: Buffer, start: number, end: number, text: Buffer): number {
  let at = start;
  for (const wanted of text) {
    if (at >= end) return -1;
    const byte = bytes[at];
    const reference = byte === AMPERSAND ? referenceAt(bytes, at, end) : undefined;
    if ((reference?.codePoint ?? byte) !== wanted) return -1;
    at = reference?.end ?? at + 1;
  }
  return at;
}

/** A text as the value of an attribute, in whatever quotes or none, and in whatever encoding the page is. */
export function encodeHtmlText(text: string): Buffer {
  const escaped = text.replace(/[^\x21-\x7e]|[&"'<>`=]/gu, (char) => `&#${char.codePointAt(0) ?? 0};`);
  return Buffer.from(escaped);
}

/** How HTML writes the value of an attribute. */
export const HTML_TEXT: TextSyntax = { afterPrefix: afterHtmlPrefix, encode: encodeHtmlText };

/**
 * Tells whether bytes are a name, in small letters or capitals.
 *
 * @param name ASCII, small letters
 */
export function isHtmlName(bytes: Buffer, start: number, end: number, name: Buffer): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    const wanted = name[i] ?? 0;
    const byte = bytes[start + i] ?? 0;
    const isLetter = wanted >= 0x61 && wanted <= 0x7a;
    if ((isLetter ? byte | AS_LOWER : byte) !== wanted) return false;
  }
  return true;
}
