import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { OnSurvived } from "../store/survived.ts";
import { BlobIndex, type IndexRow, type Tally } from "./blob-index.ts";
import { copyFile, readWhole } from "./copy.ts";
import { HotFiles, type HotFile } from "./hot-files.ts";
import { type BlobReading, Fill, type FillOutcome, type FillPlace } from "./fill.ts";
import type { BlobFacts, Source } from "./source.ts";
import { openTemporaries, type Temporaries } from "./temporaries.ts";

export type { BlobReading, Opened } from "./fill.ts";
export type { HotFile } from "./hot-files.ts";
export type { Source } from "./source.ts";

/** Where the finished files are, in the directory of larder's data. */
export function filesDirectory(directory: string): string {
  return join(directory, "files");
}

/** Which file: immutable, and named by its own hash. */
export interface BlobKey {
  /** Canonical path, the cache key. */
  readonly path: string;
  /** Hex, 64 digits; a part of the path. */
  readonly blake2b256: string;
}

/** What happened, for the metrics. */
export type BlobEvent =
  | { readonly kind: "fill"; readonly outcome: FillOutcome; readonly bytes: number; readonly ms: Ms }
  | { readonly kind: "resumed" }
  | { readonly kind: "evicted"; readonly bytes: number };

export interface BlobsOptions {
  /** Of larder's data: `files/` and `files.sqlite` are made in it. */
  readonly directory: string;
  /** Budget of the finished files; the least recently used go when it is passed, down to nine tenths of it. */
  readonly maxBytes: number;
  /** Budget of what is kept in memory of small files; 0, or none given, for nothing. */
  readonly memoryBytes?: number;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
  readonly onEvent?: ((event: BlobEvent) => void) | undefined;
}

const LOW_WATERMARK = 0.9;
const EVICT_AT_ONCE = 32;
// A file without a row may be one whose row is just being written; none takes this long.
const ORPHAN_AFTER_MS: Ms = 3_600_000;

/**
 * Files on disk, visible under their final name only when they are whole and proved. Several processes may share the
 * directory. A file being read is never pulled away: who reads it has it open, and unlinking takes the name alone.
 */
export class Blobs {
  /** Resolves when what dead processes left has been removed. Never rejects. */
  readonly swept: Promise<void>;
  readonly #options: BlobsOptions;
  readonly #files: string;
  readonly #index: BlobIndex;
  readonly #temporaries: Temporaries;
  readonly #fills = new Map<string, Fill>();
  readonly #hot: HotFiles;
  readonly #ending = new AbortController();
  /** Bytes that fills under way were admitted with. */
  #reservedBytes = 0;

  /** @throws Error (node:fs, node:sqlite) when the directory cannot be used */
  constructor(options: BlobsOptions) {
    this.#options = options;
    this.#files = filesDirectory(options.directory);
    mkdirSync(this.#files, { recursive: true });
    this.#index = new BlobIndex({ ...options, file: join(options.directory, "files.sqlite") });
    this.#hot = new HotFiles(options.memoryBytes ?? 0);
    this.#temporaries = openTemporaries(join(this.#files, "tmp"));
    this.swept = this.#sweep();
  }

  /** The fill of this file, if one is under way here. */
  filling(key: BlobKey): Fill | undefined {
    return this.#fills.get(key.path);
  }

  /** A file of which memory has something: nothing about it has to be waited for. */
  hot(key: BlobKey): HotFile | undefined {
    const file = this.#hot.find(key.path);
    if (file !== undefined) this.#index.use(file.name);
    return file;
  }

  /** A file that is held, open. A row without its bytes is a miss, and removed. */
  async find(key: BlobKey): Promise<BlobReading | undefined> {
    const name = nameOf(key);
    try {
      const row = this.#index.get(name);
      if (row === undefined) return undefined;
      const handle = await this.#open(name, row);
      if (handle === undefined) this.#index.remove(name);
      else this.#index.use(name);
      return handle && this.#reading(key.path, name, handle, row);
    } catch (error) {
      this.#options.onSurvived("files: lookup", key.path, error);
      return undefined;
    }
  }

  /**
   * Begins to fetch a file, or joins who does already.
   *
   */
  fill(key: BlobKey, source: Source): { fill: Fill; collapsed: boolean } {
    const underWay = this.#fills.get(key.path);
    if (underWay !== undefined) return { fill: underWay, collapsed: true };
    const startedAt = this.#options.clock.now();
    const fill: Fill = new Fill({
      blake2b256: key.blake2b256,
      source,
      place: this.#placeFor(key),
      clock: this.#options.clock,
      signal: this.#ending.signal,
    });
    this.#fills.set(key.path, fill);
    void fill.done.then((outcome) => {
      this.#forget(key, fill);
      const ms = this.#options.clock.now() - startedAt;
      this.#options.onEvent?.({ kind: "fill", outcome, bytes: fill.writtenBytes, ms });
    });
    return { fill, collapsed: false };
  }

  /** Finished files, and fills under way. */
  size(): Tally & { readonly filling: number } {
    return { ...this.#index.tally(), filling: this.#fills.size };
  }

  /** What of files is in memory. */
  memorySize(): Tally {
    return this.#hot.size();
  }

  /** Writes down what was used since the last time; to be called now and then. */
  flushUses(): void {
    try {
      this.#index.flushUses();
    } catch (error) {
      this.#options.onSurvived("files: uses", "files.sqlite", error);
    }
  }

  /** Breaks fills under way, and lets go of the directory. Files that are open can still be read. */
  async close(): Promise<void> {
    this.#ending.abort(new UpstreamUnavailable("connect", "larder is stopping"));
    await Promise.all([this.swept, ...[...this.#fills.values()].map((fill) => fill.done)]);
    this.flushUses();
    try {
      this.#index.close();
      this.#temporaries.close();
    } catch (error) {
      this.#options.onSurvived("files: close", this.#files, error);
    }
  }

  /** Before anybody hears of its end: who asks next must find the file, or begin anew. */
  #forget(key: BlobKey, fill: Fill | undefined): void {
    if (fill === undefined || this.#fills.get(key.path) === fill) this.#fills.delete(key.path);
  }

  #placeFor(key: BlobKey): FillPlace {
    const { onSurvived, onEvent } = this.#options;
    const path = this.#temporaries.newPath();
    let isCreated = false;
    let reserved = 0;
    const free = (): void => {
      this.#reservedBytes -= reserved;
      reserved = 0;
    };
    return {
      admit: async (bytes = 0) => {
        reserved = bytes;
        this.#reservedBytes += bytes;
        if (this.#reservedBytes <= this.#options.maxBytes) {
          await this.#makeRoom();
          return true;
        }
        free();
        onSurvived("files: too large for the budget", key.path, new Error(`${bytes} bytes`));
        return false;
      },
      create: async () => {
        // Somebody may have cleared the directory.
        await mkdir(dirname(path), { recursive: true });
        const handle = await open(path, "wx+");
        isCreated = true;
        return handle;
      },
      commit: async (facts, bytes) => {
        const isStored = await this.#commit(key, path, { ...facts, bytes });
        free();
        this.#forget(key, undefined);
        // Other processes' fills have not been reckoned with, nor those of unknown length.
        await this.#makeRoom();
        return isStored;
      },
      discard: async () => {
        free();
        this.#forget(key, undefined);
        if (isCreated) await this.#unlink(path);
      },
      onUnwritable: (error) => onSurvived("files: disk write", key.path, error),
      onBroken: (startAt, error) => {
        onSurvived("files: download broken", `${key.path} at ${startAt}`, error);
        onEvent?.({ kind: "resumed" });
      },
    };
  }

  /**
   * The row first: a process that dies in between leaves a row without bytes, which is a miss, and not bytes without
   * a row, which nobody would count or evict. Another process may take the row away as a miss meanwhile: once more.
   */
  async #commit(key: BlobKey, temporary: string, row: IndexRow): Promise<boolean> {
    const name = nameOf(key);
    try {
      this.#index.put(name, key.path, row);
      await mkdir(dirname(join(this.#files, name)), { recursive: true });
      await rename(temporary, join(this.#files, name));
      this.#index.put(name, key.path, row);
      return true;
    } catch (error) {
      this.#options.onSurvived("files: commit", key.path, error);
      return false;
    }
  }

  /** @returns undefined when it is not there, or not whole (a power cut may leave it so) */
  async #open(name: string, row: IndexRow): Promise<FileHandle | undefined> {
    const path = join(this.#files, name);
    const handle = await open(path).catch((error: unknown) => {
      if (isNotThere(error)) return undefined;
      throw error;
    });
    if (handle === undefined) return undefined;
    const { size } = await handle.stat();
    if (size === row.bytes) return handle;
    await handle.close();
    await this.#unlink(path);
    const lost = new Error(`${size} of ${row.bytes} bytes are on disk`);
    this.#options.onSurvived("files: not whole", name, lost);
    return undefined;
  }

  #reading(path: string, name: string, handle: FileHandle, row: IndexRow): BlobReading {
    const { bytes, ...facts } = row;
    let isOpen = true;
    return {
      bytes,
      facts: facts satisfies BlobFacts,
      from: "disk",
      name,
      copy: async (startAt, endAt, sink) => {
        if (!this.#hot.takes(endAt - startAt)) {
          await copyFile(handle, startAt, endAt, sink);
          return;
        }
        const piece = Buffer.allocUnsafeSlow(endAt - startAt);
        await readWhole(handle, piece, startAt);
        this.#hot.keep(path, { name, bytes, facts }, startAt, piece);
        await sink(piece);
      },
      close: () => {
        if (isOpen) void handle.close();
        isOpen = false;
      },
    };
  }

  /** Evicts, where what is held and what is coming pass the budget together. */
  async #makeRoom(): Promise<void> {
    const { maxBytes, onSurvived } = this.#options;
    try {
      if (this.#index.tally().bytes + this.#reservedBytes <= maxBytes) return;
      this.flushUses();
      await this.#evictDownTo(Math.max(0, maxBytes * LOW_WATERMARK - this.#reservedBytes));
    } catch (error) {
      onSurvived("files: eviction", "files.sqlite", error);
    }
  }

  async #evictDownTo(targetBytes: number): Promise<void> {
    for (;;) {
      const oldest = this.#index.oldest(EVICT_AT_ONCE);
      if (oldest.length === 0) return;
      for (const { name, bytes } of oldest) {
        if (this.#index.tally().bytes <= targetBytes) return;
        // The file first, for the same reason as in `commit` the row.
        await this.#unlink(join(this.#files, name));
        this.#index.remove(name);
        this.#options.onEvent?.({ kind: "evicted", bytes });
      }
    }
  }

  async #unlink(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      if (!isNotThere(error)) this.#options.onSurvived("files: unlink", path, error);
    }
  }

  async #sweep(): Promise<void> {
    try {
      await this.#temporaries.sweep();
      const isDirectory = /^[0-9a-f]{2}$/;
      for (const directory of (await readdir(this.#files)).filter((name) => isDirectory.test(name))) {
        await this.#sweepOrphans(directory);
      }
    } catch (error) {
      this.#options.onSurvived("files: sweep", this.#files, error);
    }
  }

  /** Files without a row: of an index that was lost. */
  async #sweepOrphans(directory: string): Promise<void> {
    for (const file of await readdir(join(this.#files, directory))) {
      if (this.#ending.signal.aborted) return;
      const name = `${directory}/${file}`;
      if (this.#index.get(name) !== undefined) continue;
      const path = join(this.#files, name);
      const { mtimeMs } = await stat(path);
      if (this.#options.clock.now() - mtimeMs > ORPHAN_AFTER_MS) await this.#unlink(path);
    }
  }
}

/** The file's name below `files/`. Of the path only a hash: it may be longer than a file system's names. */
function nameOf({ path, blake2b256 }: BlobKey): string {
  const which = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return `${blake2b256.slice(0, 2)}/${blake2b256.slice(2)}-${which}`;
}

function isNotThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
