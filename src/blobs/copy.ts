import type { FileHandle } from "node:fs/promises";
import type { Ms } from "../clock.ts";
import { PieceBuffers } from "./piece-buffers.ts";

/**
 * Takes a piece of a file. The buffer is used again as soon as the promise resolves. A rejection ends the copying:
 * whoever took the bytes is gone.
 */
export type Sink = (piece: Buffer) => Promise<void>;

// Large enough that a reader takes few turns of the loop, small enough for hundreds of readers.
const small = new PieceBuffers({ bytes: 256 * 1024, mostSpare: 64 });

// Each piece is a way to the thread pool and back, and a turn of the loop: a file of 10 MB costs a seventh less in pieces of
// 1 MiB. Few may have them at once, and not who takes a piece slowly.
const large = new PieceBuffers({ bytes: 1024 * 1024, mostSpare: 16, mostLent: 16 });
const QUICK_MS: Ms = 1_000;

/**
 * Copies the bytes [`startAt`, `endAt`) of an open file, at the pace of its sink. One buffer for each copy under way:
 * memory stays flat however large the file is.
 *
 * @param mayBeLarge whether pieces may be of 1 MiB; else of 256 KiB, for sinks that do work on them at once
 * @throws Error when the file ends early, and whatever `sink` rejects with
 */
export async function copyFile(
  handle: FileHandle,
  startAt: number,
  endAt: number,
  sink: Sink,
  mayBeLarge = false,
): Promise<void> {
  let pool = small;
  let buffer = pool.lend();
  let isFree = false;
  try {
    for (let at = startAt; at < endAt;) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, endAt - at), at);
      if (bytesRead === 0) throw new Error(`the file ends at ${at}, before ${endAt}`);
      const begunAt = performance.now();
      await sink(buffer.subarray(0, bytesRead));
      at += bytesRead;
      if (!mayBeLarge) continue;
      const isQuick = performance.now() - begunAt < QUICK_MS && endAt - at > small.bytes;
      const next = isQuick && (pool === large || large.hasOne) ? large : small;
      if (next === pool) continue;
      pool.giveBack(buffer);
      pool = next;
      buffer = pool.lend();
    }
    isFree = true;
  } finally {
    // A sink that failed may still hold the buffer.
    pool.giveBack(isFree ? buffer : undefined);
  }
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
