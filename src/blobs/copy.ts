import type { FileHandle } from "node:fs/promises";

/**
 * Takes a piece of a file. The buffer is used again as soon as the promise resolves. A rejection ends the copying:
 * whoever took the bytes is gone.
 */
export type Sink = (piece: Buffer) => Promise<void>;

// Large enough that a reader takes few turns of the loop, small enough for hundreds of readers.
const PIECE_BYTES = 256 * 1024;
const MOST_SPARE = 64;
const spare: Buffer[] = [];

/**
 * Copies the bytes [`startAt`, `endAt`) of an open file, at the pace of its sink. One buffer for each copy under way:
 * memory stays flat however large the file is.
 *
 * @throws Error when the file ends early, and whatever `sink` rejects with
 */
export async function copyFile(
  handle: FileHandle,
  startAt: number,
  endAt: number,
  sink: Sink,
): Promise<void> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  for (let at = startAt; at < endAt;) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(PIECE_BYTES, endAt - at), at);
    if (bytesRead === 0) throw new Error(`the file ends at ${at}, before ${endAt}`);
    await sink(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  // Not in a `finally`: a sink that failed may still hold the buffer.
  if (spare.length < MOST_SPARE) spare.push(buffer);
}

/**
 * Fills a buffer with the bytes of an open file from `startAt` on.
 * @throws Error when the file ends early
 */
export async function readWhole(handle: FileHandle, buffer: Buffer, startAt: number): Promise<void> {
  for (let done = 0; done < buffer.length;) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, startAt + done);
    if (bytesRead === 0) throw new Error(`the file ends at ${startAt + done}`);
    done += bytesRead;
  }
}
