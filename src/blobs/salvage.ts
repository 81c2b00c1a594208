import { Readable } from "node:stream";
import { UpstreamUnavailable } from "../errors.ts";
import { copyFile } from "./copy.ts";
import type { Salvage } from "./following.ts";
import type { Source } from "./source.ts";

/**
 * A source that begins with what another process' fill has left, and goes on by Range where that ends: the fill that
 * reads it hashes all of it, so that what was wrong in there is found out as if it had come from upstream.
 */
export function salvaging(salvage: Salvage, source: Source): Source {
  let isFirst = true;
  const { handle, writtenBytes, bytes, contentType, lastModified, date } = salvage;
  return {
    ...source,
    open: (startAt, onFreshConnection) => {
      if (!isFirst || startAt > 0) return source.open(startAt, onFreshConnection);
      isFirst = false;
      const body = Readable.from(pieces(salvage), { objectMode: false, highWaterMark: 1 });
      const facts = { contentType, lastModified, date };
      return Promise.resolve({ kind: "stream", startAt: 0, totalBytes: bytes, body, ...facts });
    },
  };

  async function* pieces(from: Salvage): AsyncGenerator<Buffer, void, undefined> {
    for (let at = 0; at < writtenBytes; at += PIECE_BYTES) {
      const endAt = Math.min(writtenBytes, at + PIECE_BYTES);
      const taken: Buffer[] = [];
      try {
        await copyFile(handle, at, endAt, (piece) => Promise.resolve(void taken.push(Buffer.from(piece))));
      } catch (error) {
        throw new UpstreamUnavailable("truncated", "what another larder left cannot be read", {
          cause: error,
        });
      }
      yield Buffer.concat(taken);
    }
    if (writtenBytes < from.bytes) {
      throw new UpstreamUnavailable(
        "truncated",
        `${writtenBytes} of ${from.bytes} bytes were left by another larder`,
      );
    }
  }
}

const PIECE_BYTES = 256 * 1024;
