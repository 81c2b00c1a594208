import type { TextSyntax } from "./url-moves.ts";

const BACKSLASH = 0x5c;
const LOWER_U = 0x75;

/** What a letter after a backslash stands for; any other byte stands for itself (RFC 8259 §7). */
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08], // b
  [0x66, 0x0c], // f
  [0x6e, 0x0a], // n
  [0x72, 0x0d], // r
  [0x74, 0x09], // t
]);

function unescaped(bytes: Buffer, backslash: number): number {
  const kind = bytes[backslash + 1] ?? 0;
  if (kind === LOWER_U) return Number.parseInt(bytes.toString("latin1", backslash + 2, backslash + 6), 16);
  return SHORT_ESCAPES.get(kind) ?? kind;
}

/**
 * Tells whether a JSON string begins with a text, however either is escaped, without decoding the rest of it.
 *
 * @param start where the string's contents begin, after its quote
 * @param end where they end; they must be well-formed
 * @param text ASCII
 * @returns the offset behind the text in the string as written, or -1 where it does not begin with it
 */
export function afterPrefix(bytes: Buffer, start: number, end: number, text: Buffer): number {
  // Mostly it is written as it is: so far byte by byte, without a thought of escapes.
  const most = Math.min(text.length, end - start);
  let i = 0;
  while (i < most && bytes[start + i] === text[i] && text[i] !== BACKSLASH) i++;
  let at = start + i;
  // By index: asked of every key of a document, an iterator each made as much garbage as the document is long.
  for (; i < text.length; i++) {
    if (at >= end) return -1;
    const isEscape = bytes[at] === BACKSLASH;
    const found = isEscape ? unescaped(bytes, at) : bytes[at];
    if (found !== text[i]) return -1;
    at += isEscape ? (bytes[at + 1] === LOWER_U ? 6 : 2) : 1;
  }
  return at;
}

/**
 * Tells whether a JSON string is a text, however either is escaped. See `afterPrefix`.
 */
export function isText(bytes: Buffer, start: number, end: number, text: Buffer): boolean {
  // Escapes make it longer, never shorter.
  if (end - start < text.length) return false;
  return afterPrefix(bytes, start, end, text) === end;
}

/** The string whose contents, well-formed, stand between two offsets. Bytes that are no UTF-8 become U+FFFD. */
export function decodeText(bytes: Buffer, start: number, end: number): string {
  return JSON.parse(`"${bytes.toString("utf8", start, end)}"`) as string;
}

/** A text as the contents of a JSON string, escaped where it must be. */
export function encodeText(text: string): Buffer {
  return Buffer.from(JSON.stringify(text).slice(1, -1));
}

/** How JSON writes the contents of a string. */
export const JSON_TEXT: TextSyntax = { afterPrefix, encode: encodeText };

/** A serial of PyPI's, as a document writes it; undefined where the number is no non-negative safe integer. */
export function readSerial(bytes: Buffer, start: number, end: number): number | undefined {
  const serial = Number(bytes.toString("latin1", start, end));
  return Number.isSafeInteger(serial) && serial >= 0 ? serial : undefined;
}
