/**
 * The same bytes in memory of just their size. A Buffer is often a piece of a larger one (a read of a socket, the pool that
 * small ones are cut from, what zlib wrote into), all of which stays for as long as the piece is kept.
 */
export function owned(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength <= bytes.length + bytes.length / 8) return bytes;
  const exact = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(exact);
  return exact;
}
