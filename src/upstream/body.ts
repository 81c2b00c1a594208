import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { UpstreamUnavailable } from "../errors.ts";
import { owned } from "../store/owned.ts";
import { createSink } from "./sink.ts";

/** A body read whole, as sent, with what was computed of it on the way. */
export interface CollectedBody {
  readonly bytes: Buffer;
  /** Base64 without padding: the form that PyPI's ETag has (facts/pypi.md §10.1). */
  readonly md5: string;
  /** Hex. */
  readonly sha256: string;
}

/**
 * Reads a body to its end, hashing it piece by piece: a body of 30 MB never holds the event loop.
 *
 * @param announcedBytes its Content-Length, or undefined: only saves copying
 * @throws UpstreamUnavailable("too-large") as soon as more than `maxBytes` are announced or have come, and
 *   whatever the body itself fails with
 */
export async function collectBody(
  body: Readable,
  announcedBytes: number | undefined,
  maxBytes: number,
): Promise<CollectedBody> {
  if (announcedBytes !== undefined && announcedBytes > maxBytes) throw refuse(body, maxBytes);
  const md5 = createHash("md5");
  const sha256 = createHash("sha256");
  const sink = createSink(announcedBytes);
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError("a body is made of Buffers");
    if (sink.length + chunk.length > maxBytes) throw refuse(body, maxBytes);
    md5.update(chunk);
    sha256.update(chunk);
    sink.add(chunk);
  }
  const checksum = md5.digest("base64").replace(/=+$/, "");
  // It may be kept for long.
  return { bytes: owned(sink.whole()), md5: checksum, sha256: sha256.digest("hex") };
}

function refuse(body: Readable, maxBytes: number): UpstreamUnavailable {
  body.destroy();
  return new UpstreamUnavailable("too-large", `the answer has more than ${maxBytes} bytes`);
}
