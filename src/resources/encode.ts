import { promisify } from "node:util";
import { constants, gzip, gzipSync, zstdCompress, zstdCompressSync } from "node:zlib";
import { owned } from "../store/owned.ts";
import type { Awaitable } from "../store/store.ts";

// Below this a thread costs more than the work.
const AT_ONCE_BYTES = 16_384;

// On PyPI's documents level 1 writes 9 % more than level 6 at twice the speed, and a miss waits for it; a window of 8 KiB
// instead of 32 writes as much in five sixths of the time, for what repeats there are the lines of neighbouring files. zstd
// at level 1 writes less than gzip at level 6, at seven times the speed.
const GZIP = { level: 1, windowBits: 13 };
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

// Steps on the thread pool: by zlib's own 16 KiB a document of 5 MB takes sixty, each with a turn of the loop between.
const MOST_CHUNK_BYTES = 4 * 1024 * 1024;

const gzipLater: (body: Buffer, options: typeof GZIP & { chunkSize: number }) => Promise<Buffer> =
  promisify(gzip);
const zstdLater: (body: Buffer, options: typeof ZSTD & { chunkSize: number }) => Promise<Buffer> =
  promisify(zstdCompress);

/** Encodes a body: small ones at once, large ones off the event loop. Same bytes in, same bytes out. */
export function encode(body: Buffer, coding: "gzip" | "identity" | "zstd"): Awaitable<Buffer> {
  if (coding === "identity") return body;
  const atOnce = body.length <= AT_ONCE_BYTES;
  if (atOnce) return owned(coding === "gzip" ? gzipSync(body, GZIP) : zstdCompressSync(body, ZSTD));
  // PyPI's documents shrink to a fifth and less: mostly one step.
  const chunkSize = Math.min(MOST_CHUNK_BYTES, Math.ceil(body.length / 4));
  return (
    coding === "gzip" ? gzipLater(body, { ...GZIP, chunkSize }) : zstdLater(body, { ...ZSTD, chunkSize })
  ).then(owned);
}
