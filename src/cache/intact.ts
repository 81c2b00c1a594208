import { createHash } from "node:crypto";
import { nextTurn } from "../event-loop.ts";
import type { Awaitable } from "../store/store.ts";

/** What is hashed in one turn of the event loop: about 1 ms. */
const SLICE_BYTES = 512 * 1024;

/**
 * Whether a body that was read back is the one that was stored: a disk may give other bytes than it was given.
 * @param digest hex SHA-256
 */
export function isIntact(body: Buffer, digest: string): Awaitable<boolean> {
  if (body.length > SLICE_BYTES) return isLargeIntact(body, digest);
  return createHash("sha256").update(body).digest("hex") === digest;
}

async function isLargeIntact(body: Buffer, digest: string): Promise<boolean> {
  const hash = createHash("sha256");
  for (let at = 0; at < body.length; at += SLICE_BYTES) {
    hash.update(body.subarray(at, at + SLICE_BYTES));
    await nextTurn();
  }
  return hash.digest("hex") === digest;
}
