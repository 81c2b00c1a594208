/** The bytes are not exactly one JSON object (RFC 8259), or beyond the bounds of json-scanner.ts. */
export class NotJson extends Error {
  override readonly name = "NotJson";
  /** Where the first byte is that cannot be; the length of the bytes where they end too soon. */
  readonly offset: number;

  constructor(bytes: Uint8Array, offset: number, expected: string) {
    super(`not a JSON object: expected ${expected} at byte ${offset}, found ${nameOf(bytes[offset])}`);
    this.offset = offset;
  }
}

function nameOf(byte: number | undefined): string {
  if (byte === undefined) return "the end";
  const printable = byte > 0x20 && byte < 0x7f;
  return printable ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16).padStart(2, "0")}`;
}
