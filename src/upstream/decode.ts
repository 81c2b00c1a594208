import { createGunzip, gunzipSync } from "node:zlib";
import { UpstreamUnavailable } from "../errors.ts";
import type { Coding } from "../store/store.ts";
import { createSink } from "./sink.ts";

// Fewer, larger steps on the thread pool: with zlib's 16 KiB a document of 30 MB takes two thousand of them. What is no
// longer than the second is decoded in one step, into memory of its own size: pieces would be as much again, to be copied.
const CHUNK_BYTES = 256 * 1024;
const MOST_CHUNK_BYTES = 8 * 1024 * 1024;
// Up to this length it is decoded at once, in a tenth of a millisecond: to hand it to a thread takes longer.
const AT_ONCE_BYTES = 64 * 1024;
const LEAST_ZLIB_CHUNK_BYTES = 64;
// What announces less than it holds shall not take a step for each byte.
const LEAST_CHUNK_BYTES = 16 * 1024;

/**
 * The body without its content coding. Reading it whole proves a gzip stream whole: length and CRC are checked
 * (RFC 1952 §2.3.1), and nothing may follow its one member. The work on all but small ones is done off the event loop.
 *
 * @param maxBytes bound of the decoded length: a small body may decode to a very large one
 * @throws UpstreamUnavailable("bad-coding") when it does not decode, ("too-large") when it decodes to more
 */
export async function decodeBody(body: Buffer, coding: Coding, maxBytes: number): Promise<Buffer> {
  if (coding === "identity") {
    if (body.length > maxBytes) throw tooLarge(maxBytes);
    return body;
  }
  try {
    return gunzipAtOnce(body, maxBytes) ?? (await gunzipInPlace(body, maxBytes));
  } catch (error) {
    if (error instanceof UpstreamUnavailable) throw error;
    throw new UpstreamUnavailable("bad-coding", "the answer's gzip does not decode", { cause: error });
  }
}

/** @returns undefined where it does not say that it is small, or says so and is not */
function gunzipAtOnce(body: Buffer, maxBytes: number): Buffer | undefined {
  const announced = announcedLength(body);
  if (announced === 0 || announced > Math.min(AT_ONCE_BYTES, maxBytes)) return undefined;
  try {
    return gunzipSync(body, {
      chunkSize: Math.max(LEAST_ZLIB_CHUNK_BYTES, announced + 1),
      maxOutputLength: announced,
      rejectGarbageAfterEnd: true,
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined; // ERR_BUFFER_TOO_LARGE
    throw error;
  }
}

/** Piece by piece into a buffer of the right size: zlib's own way ends in one copy that holds the event loop. */
async function gunzipInPlace(body: Buffer, maxBytes: number): Promise<Buffer> {
  const expectedBytes = Math.min(announcedLength(body), maxBytes);
  // A byte beyond what is announced: zlib would else ask for more room to find the end.
  const isOneStep = expectedBytes < MOST_CHUNK_BYTES;
  const chunkSize = isOneStep ? Math.max(LEAST_CHUNK_BYTES, expectedBytes + 1) : CHUNK_BYTES;
  const gunzip = createGunzip({ chunkSize, rejectGarbageAfterEnd: true });
  gunzip.end(body);
  const sink = isOneStep ? createSink(undefined) : createSink(expectedBytes);
  for await (const chunk of gunzip) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError("gunzip gives Buffers");
    if (sink.length + chunk.length > maxBytes) throw tooLarge(maxBytes);
    sink.add(chunk);
  }
  return sink.whole();
}

/** What a gzip says of its decoded length, modulo 2^32 (RFC 1952 §2.3.1: ISIZE). Not to be trusted: a start. */
function announcedLength(gzip: Buffer): number {
  const claimed = gzip.length < 8 ? 0 : gzip.readUInt32LE(gzip.length - 4);
  // Deflate cannot shrink by more than a thousand: a lie must not make us reserve more than the bytes could hold.
  return Math.min(claimed, gzip.length * 1_032);
}

function tooLarge(maxBytes: number): UpstreamUnavailable {
  return new UpstreamUnavailable("too-large", `the answer decodes to more than ${maxBytes} bytes`);
}
