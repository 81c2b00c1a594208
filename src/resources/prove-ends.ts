import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { UpstreamUnavailable, type UpstreamFailure } from "../errors.ts";
import type { Coding } from "../store/store.ts";

/** What is kept of each end to look at. */
const END_BYTES = 512;
const CHUNK_BYTES = 256 * 1024;

/**
 * Proves a body of any size whole without holding it: the coding's own checksum, its length, and what it begins and ends
 * with. One piece of it is in memory at a time.
 *
 * @param maxBytes bound of the decoded length
 * @param isRight whether these first and last characters (latin1) can be of such a body
 * @param failure what is wrong with a body whose ends are not
 * @throws UpstreamUnavailable when it is not
 */
export async function proveByEnds(
  body: Buffer,
  coding: Coding,
  maxBytes: number,
  isRight: (head: string, tail: string) => boolean,
  failure: UpstreamFailure,
): Promise<void> {
  let head: Buffer = Buffer.alloc(0);
  let tail: Buffer = Buffer.alloc(0);
  let length = 0;
  try {
    for await (const chunk of decoded(body, coding)) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError("a body is made of Buffers");
      length += chunk.length;
      if (length > maxBytes)
        throw new UpstreamUnavailable("too-large", `more than ${maxBytes} bytes, decoded`);
      if (head.length < END_BYTES) head = Buffer.concat([head, chunk]).subarray(0, END_BYTES);
      tail =
        chunk.length >= END_BYTES
          ? chunk.subarray(-END_BYTES)
          : Buffer.concat([tail, chunk]).subarray(-END_BYTES);
    }
  } catch (error) {
    if (error instanceof UpstreamUnavailable) throw error;
    throw new UpstreamUnavailable("bad-coding", "the answer's gzip does not decode", { cause: error });
  }
  if (isRight(head.toString("latin1"), tail.toString("latin1"))) return;
  throw new UpstreamUnavailable(failure, "the body does not begin and end as it should", { status: 200 });
}

/** The body without its coding, piece by piece. */
export function decoded(body: Buffer, coding: Coding): Readable {
  if (coding === "identity") return Readable.from([body]);
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES, rejectGarbageAfterEnd: true });
  gunzip.end(body);
  return gunzip;
}
