import type { FileHandle } from "node:fs/promises";
import type { OnSurvived } from "../store/survived.ts";
import type { BlobIndex, IndexRow, Tally } from "./blob-index.ts";
import { copyFile, readWhole, type Sink } from "./copy.ts";
import type { BlobReading } from "./fill.ts";
import { type BlobKey, type Folder, nameOf } from "./folder.ts";
import { HotFiles, type HotFile } from "./hot-files.ts";
import { type OpenFile, type Proof, PROVED_FIRST_BYTES, Proofs } from "./proofs.ts";
import type { Room } from "./room.ts";
import type { StoredFile } from "./source.ts";
import { Users } from "./users.ts";
import { wrongBytes } from "./wrong-bytes.ts";

export interface HeldFilesOptions {
  readonly folder: Folder;
  readonly index: BlobIndex;
  readonly room: Room;
  /** Budget of what is kept in memory. */
  readonly memoryBytes: number;
  readonly onSurvived: OnSurvived;
  /** Ends proofs under way. */
  readonly signal: AbortSignal;
}

/** The finished files, on disk and of some of them in memory: how one is found and read. */
export class HeldFiles {
  readonly #options: HeldFilesOptions;
  readonly #hot: HotFiles;
  readonly #proofs: Proofs;

  constructor(options: HeldFilesOptions) {
    this.#options = options;
    this.#hot = new HotFiles(options.memoryBytes);
    this.#proofs = new Proofs({
      onWrong: (file, error) => this.#dropWrong(file, error),
      onUnknown: ({ name }, error) => options.onSurvived("files: lookup", name, error),
      signal: options.signal,
    });
  }

  /** This process has proved and stored the file. */
  noteStored(key: BlobKey): void {
    this.#proofs.note(nameOf(key));
  }

  /** Resolves when no proof is under way. Never rejects. */
  settled(): Promise<void> {
    return this.#proofs.settled();
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
      const handle = row && (await this.#open(name, row));
      // Whatever comes to lie there next need not be what was proved.
      if (handle === undefined) this.#proofs.forget(name);
      if (row === undefined) return await this.#takeIn(key, name);
      if (handle === undefined) this.#options.index.remove(name);
      else this.#options.index.use(name);
      return handle && (await this.#reading(key, name, handle, row));
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
        return await this.#reading(key, name, handle, facts);
      }
    } catch (error) {
      this.#options.onSurvived("files: lookup", key.path, error);
    }
    await handle.close();
    return undefined;
  }

  /** Never rejects. */
  async #dropWrong({ name, inode }: OpenFile, error: unknown): Promise<void> {
    const { folder, index, room, onSurvived } = this.#options;
    onSurvived("files: wrong on disk", name, error);
    try {
      // Another process may have found it out before, and stored it anew.
      if ((await folder.inode(name)) !== inode) return;
      index.remove(name);
      await room.remove(name);
    } catch (failure) {
      onSurvived("files: lookup", name, failure);
    }
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

  /** @returns undefined where it is found to be wrong before it is given */
  async #reading(
    { path, blake2b256 }: BlobKey,
    name: string,
    handle: FileHandle,
    row: IndexRow,
  ): Promise<BlobReading | undefined> {
    const { bytes, contentType, lastModified, date } = row;
    const facts = { contentType, lastModified, date };
    const users = new Users(() => void handle.close());
    const close = users.enter();
    const opened = { bytes, facts, from: "disk", name, close } as const;
    const read = (buffer: Buffer, startAt: number): Promise<void> => readWhole(handle, buffer, startAt);
    const file = { path, name, bytes, facts, read };
    const copy: BlobReading["copy"] = async (startAt, endAt, sink) => {
      const piece = await this.#hot.read(file, startAt, endAt);
      if (piece === undefined) await copyFile(handle, startAt, endAt, sink, true);
      else await sink(piece);
    };
    if (this.#proofs.has(name)) return { ...opened, copy };
    try {
      const { ino: inode } = await handle.stat();
      const proof = this.#proofs.of({ name, inode, blake2b256, bytes, handle, users });
      if (bytes > PROVED_FIRST_BYTES) {
        return {
          ...opened,
          copy: (startAt, endAt, sink) => copyUnproved(handle, { startAt, endAt, bytes }, sink, proof),
        };
      }
      if ((await proof) === "right") return { ...opened, copy };
    } catch (error) {
      this.#options.onSurvived("files: lookup", path, error);
    }
    close();
    return undefined;
  }
}

/**
 * Copies the bytes [`startAt`, `endAt`) of a file of which it is not yet known whether it is right: its last byte only
 * when it is, as of one that is still coming.
 *
 * @throws UpstreamUnavailable("wrong-bytes"), Error where it could not be proved, and as `copyFile`
 */
async function copyUnproved(
  handle: FileHandle,
  { startAt, endAt, bytes }: { readonly startAt: number; readonly endAt: number; readonly bytes: number },
  sink: Sink,
  proof: Promise<Proof>,
): Promise<void> {
  const freeEndAt = Math.min(endAt, bytes - 1);
  await copyFile(handle, startAt, freeEndAt, sink, true);
  if (freeEndAt === endAt) return;
  const found = await proof;
  if (found === "wrong") throw wrongBytes();
  if (found === "unknown") throw new Error("the file could not be proved");
  await copyFile(handle, freeEndAt, endAt, sink);
}
