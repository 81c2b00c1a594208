// What may be kept for nothing: to copy a megabyte for a few bytes is no bargain.
const MOST_SLACK_BYTES = 256;

/**
 * The same bytes in memory of just their size. A Buffer is often a piece of a larger one (a read of a socket, the pool that
 * small ones are cut from, what zlib wrote into), all of which stays for as long as the piece is kept.
 */
export function owned(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength - bytes.length <= MOST_SLACK_BYTES) return bytes;
  const exact = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(exact);
  return exact;
}
