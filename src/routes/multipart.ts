import { type ByteRange, contentRange } from "./byte-ranges.ts";

/** A body made of pieces: bytes as they are, and parts of a file. */
export interface Multipart {
  readonly pieces: readonly (Buffer | ByteRange)[];
  /** Length of all. */
  readonly bytes: number;
}

/** The body of a multipart/byteranges (RFC 9110 §14.6). */
export function multipart(
  ranges: readonly ByteRange[],
  of: { readonly boundary: string; readonly bytes: number; readonly contentType: string },
): Multipart {
  const pieces: (Buffer | ByteRange)[] = [];
  for (const range of ranges) {
    const fields = `Content-Type: ${of.contentType}\r\nContent-Range: ${contentRange(range, of.bytes)}\r\n`;
    pieces.push(Buffer.from(`\r\n--${of.boundary}\r\n${fields}\r\n`), range);
  }
  pieces.push(Buffer.from(`\r\n--${of.boundary}--\r\n`));
  return { pieces, bytes: pieces.reduce((sum, piece) => sum + lengthOf(piece), 0) };
}

function lengthOf(piece: Buffer | ByteRange): number {
  return Buffer.isBuffer(piece) ? piece.length : piece.endAt - piece.startAt;
}
