import type { Clock, Ms } from "../clock.ts";
import { nextTurn } from "../event-loop.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { BlobIndex } from "./blob-index.ts";
import type { Folder } from "./folder.ts";

export interface RoomOptions {
  readonly index: BlobIndex;
  readonly folder: Folder;
  /** Budget of the finished files; the least recently used go when it is passed, down to nine tenths of it. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
  readonly onEvicted: (bytes: number) => void;
}

const LOW_WATERMARK = 0.9;
const EVICT_AT_ONCE = 32;
// How often the folder is told that a file is in use; and what may lie between the clocks of two machines.
const TOUCH_EVERY_MS: Ms = 3_600_000;
const CLOCKS_APART_MS: Ms = 60_000;

/** The room on the disk: what may come, and what has to go for it. */
export class Room {
  readonly #options: RoomOptions;
  /** Bytes that fills under way were admitted with, and those of them that came: room is made for what is there. */
  #reservedBytes = 0;
  #comingBytes = 0;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Admits so many bytes, until `free`. Nothing goes for them yet: a length is said soon. @returns whether they fit */
  reserve(bytes: number): boolean {
    if (this.#reservedBytes + bytes > this.#options.maxBytes) return false;
    this.#reservedBytes += bytes;
    return true;
  }

  /** So many bytes have come, until `free`. */
  async take(bytes: number): Promise<void> {
    this.#comingBytes += bytes;
    await this.make();
  }

  free(reservedBytes: number, takenBytes: number): void {
    this.#reservedBytes -= reservedBytes;
    this.#comingBytes -= takenBytes;
  }

  /** Evicts, where what is held and what is coming pass the budget together. Never rejects. */
  async make(): Promise<void> {
    const { index, maxBytes, onSurvived } = this.#options;
    try {
      if (index.tally().bytes + this.#comingBytes <= maxBytes) return;
      await this.flushUses();
      await this.#evictDownTo(Math.max(0, maxBytes * LOW_WATERMARK - this.#comingBytes));
    } catch (error) {
      onSurvived("files: eviction", "files.sqlite", error);
    }
  }

  /** Writes down what was used, and tells the folder of it where it has not been told for long. Never rejects. */
  async flushUses(): Promise<void> {
    const { index, folder, clock, onSurvived } = this.#options;
    try {
      let failure: { readonly name: string; readonly error: unknown } | undefined;
      for (const rare of index.flushUses(TOUCH_EVERY_MS)) {
        for (const name of rare) {
          // What cannot be told to others is written down all the same.
          await folder.touch(name, clock.now()).catch((error: unknown) => (failure ??= { name, error }));
        }
        await nextTurn();
      }
      if (failure !== undefined) onSurvived("files: uses", failure.name, failure.error);
    } catch (error) {
      onSurvived("files: uses", "files.sqlite", error);
    }
  }

  /** Removes a file. Never rejects. */
  async remove(name: string): Promise<void> {
    try {
      await this.#options.folder.remove(name);
    } catch (error) {
      this.#options.onSurvived("files: unlink", name, error);
    }
  }

  async #evictDownTo(targetBytes: number): Promise<void> {
    const { index, folder, onEvicted } = this.#options;
    for (;;) {
      const oldest = index.oldest(EVICT_AT_ONCE);
      if (oldest.length === 0) return;
      for (const { name, bytes, usedAt } of oldest) {
        if (index.tally().bytes <= targetBytes) return;
        const usedElsewhereAt = (await folder.usedAt(name)) ?? usedAt;
        if (usedElsewhereAt > usedAt + CLOCKS_APART_MS) {
          index.usedBy(name, usedElsewhereAt);
          continue;
        }
        // The row first, for another process may be storing the file anew: it then writes its row after ours went, and one
        // without bytes is a miss. Bytes without a row, which a crash in between leaves, are taken in by the next look round.
        if (!index.removeSince(name, usedAt)) continue;
        await this.remove(name);
        onEvicted(bytes);
      }
    }
  }
}
