import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { UpstreamUnavailable } from "../errors.ts";
import type { Coding } from "../store/store.ts";

const gunzipAsync = promisify(gunzip);

// Fewer, larger steps on the thread pool: with zlib's 16 KiB a document of 30 MB takes two thousand of them.
const CHUNK_BYTES = 256 * 1024;

/**
 * The body without its content coding. Reading it whole proves a gzip stream whole: length and CRC are checked
 * (RFC 1952 §2.3.1), and nothing may follow its one member. The work is done off the event loop.
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
    return await gunzipAsync(body, {
      chunkSize: CHUNK_BYTES,
      maxOutputLength: maxBytes,
      rejectGarbageAfterEnd: true,
    });
  } catch (error) {
    if (error instanceof RangeError) throw tooLarge(maxBytes, error);
    throw new UpstreamUnavailable("bad-coding", "the answer's gzip does not decode", { cause: error });
  }
}

function tooLarge(maxBytes: number, cause?: unknown): UpstreamUnavailable {
  return new UpstreamUnavailable("too-large", `the answer decodes to more than ${maxBytes} bytes`, { cause });
}
