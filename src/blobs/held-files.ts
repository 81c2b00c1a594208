import type { FileHandle } from "node:fs/promises";
import type { OnSurvived } from "../store/survived.ts";
import type { BlobIndex, IndexRow, Tally } from "./blob-index.ts";
import { copyFile, readWhole } from "./copy.ts";
import type { BlobReading } from "./fill.ts";
import { type BlobKey, type Folder, nameOf } from "./folder.ts";
import { HotFiles, type HotFile } from "./hot-files.ts";
import type { Room } from "./room.ts";
import type { StoredFile } from "./source.ts";

export interface HeldFilesOptions {
  readonly folder: Folder;
  readonly index: BlobIndex;
  readonly room: Room;
  /** Budget of what is kept in memory. */
  readonly memoryBytes: number;
  readonly onSurvived: OnSurvived;
}

/** The finished files, on disk and of some of them in memory: how one is found and read. */
export class HeldFiles {
  readonly #options: HeldFilesOptions;
  readonly #hot: HotFiles;

  constructor(options: HeldFilesOptions) {
    this.#options = options;
    this.#hot = new HotFiles(options.memoryBytes);
  }

  /** A file of which memory has something: nothing about it has to be waited for. */
  hot(key: BlobKey): HotFile | undefined {
    const file = this.#hot.find(key.path);
    if (file !== undefined) this.#options.index.use(file.name);
    return file;
  }

  /**
   * A file that is held, open. A row without its bytes is a miss, and removed; a file without a row is another's, and
   * taken in.
   */
  async find(key: BlobKey): Promise<BlobReading | undefined> {
    const name = nameOf(key);
    try {
      const row = this.#options.index.get(name);
      if (row === undefined) return await this.#takeIn(key, name);
      const handle = await this.#open(name, row);
      if (handle === undefined) this.#options.index.remove(name);
      else this.#options.index.use(name);
      return handle && this.#reading(key.path, name, handle, row);
    } catch (error) {
      this.#options.onSurvived("files: lookup", key.path, error);
      return undefined;
    }
  }

  /** A file that is held, to be handed on to others; it may be gone by the time it is opened. */
  stored(key: BlobKey): StoredFile | undefined {
    const name = nameOf(key);
    const row = this.#options.index.get(name);
    return row && { ...row, open: () => this.#open(name, row) };
  }

  /** What of files is in memory. */
  memorySize(): Tally {
    return this.#hot.size();
  }

  /** A file that another process has stored, where its rows are not seen here. */
  async #takeIn(key: BlobKey, name: string): Promise<BlobReading | undefined> {
    const facts = await this.#options.folder.facts(name);
    if (facts?.path !== key.path) return undefined;
    const handle = await this.#options.folder.open(name);
    if (handle === undefined) return undefined;
    try {
      const { size } = await handle.stat();
      if (size === facts.bytes) {
        this.#options.index.put(name, key.path, facts);
        return this.#reading(key.path, name, handle, facts);
      }
    } catch (error) {
      this.#options.onSurvived("files: lookup", key.path, error);
    }
    await handle.close();
    return undefined;
  }

  /** @returns undefined when it is not there, or not whole (a power cut may leave it so) */
  async #open(name: string, row: IndexRow): Promise<FileHandle | undefined> {
    const handle = await this.#options.folder.open(name);
    if (handle === undefined) return undefined;
    const { size } = await handle.stat();
    if (size === row.bytes) return handle;
    await handle.close();
    await this.#options.room.remove(name);
    const lost = new Error(`${size} of ${row.bytes} bytes are on disk`);
    this.#options.onSurvived("files: not whole", name, lost);
    return undefined;
  }

  #reading(path: string, name: string, handle: FileHandle, row: IndexRow): BlobReading {
    const { bytes, contentType, lastModified, date } = row;
    const facts = { contentType, lastModified, date };
    const read = (buffer: Buffer, startAt: number): Promise<void> => readWhole(handle, buffer, startAt);
    const file = { path, name, bytes, facts, read };
    let isOpen = true;
    return {
      bytes,
      facts,
      from: "disk",
      name,
      copy: async (startAt, endAt, sink) => {
        const piece = await this.#hot.read(file, startAt, endAt);
        if (piece === undefined) await copyFile(handle, startAt, endAt, sink, true);
        else await sink(piece);
      },
      close: () => {
        if (isOpen) void handle.close();
        isOpen = false;
      },
    };
  }
}
