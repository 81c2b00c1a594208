import { mkdirSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Leases } from "../fleet/leases.ts";
import type { OnSurvived } from "../store/survived.ts";
import { BlobIndex, type IndexRow, type Tally } from "./blob-index.ts";
import { copyFile, readWhole } from "./copy.ts";
import { type BlobReading, Fill } from "./fill.ts";
import { type BlobKey, Folder, nameOf } from "./folder.ts";
import type { GrowingPart, Salvage } from "./following.ts";
import { HotFiles, type HotFile } from "./hot-files.ts";
import { lookRound } from "./look-round.ts";
import { PartPlace } from "./part-place.ts";
import { Room } from "./room.ts";
import { salvaging } from "./salvage.ts";
import { SharedFill, type SharedOutcome } from "./shared-fill.ts";
import type { Source } from "./source.ts";

export type { BlobReading, Opened } from "./fill.ts";
export type { BlobKey } from "./folder.ts";
export type { HotFile } from "./hot-files.ts";
export type { Source } from "./source.ts";

/** Where the finished files are, in the directory of larder's data, if in no other folder. */
export function filesDirectory(directory: string): string {
  return join(directory, "files");
}

/** What happened, for the metrics. */
export type BlobEvent =
  | { readonly kind: "fill"; readonly outcome: SharedOutcome; readonly bytes: number; readonly ms: Ms }
  | { readonly kind: "resumed" }
  | { readonly kind: "evicted"; readonly bytes: number };

export interface BlobsOptions {
  /** Of larder's data: `files.sqlite` is made in it, and `files/` where the files are in no other folder. */
  readonly directory: string;
  /** Where the files are, if other machines share them. */
  readonly sharedDirectory?: string | undefined;
  /** By which one of many processes fetches what all want; undefined where this one is all there is. */
  readonly leases?: Leases | undefined;
  /** What one process has stored, others get from elsewhere too (`Source.publish`), though they share no folder. */
  readonly isPublished?: boolean;
  /** Budget of the finished files; the least recently used go when it is passed, down to nine tenths of it. */
  readonly maxBytes: number;
  /** Budget of what is kept in memory of small files; 0, or none given, for nothing. */
  readonly memoryBytes?: number;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
  readonly onEvent?: ((event: BlobEvent) => void) | undefined;
}

/**
 * Files on disk, visible under their final name only when they are whole and proved. Several processes may share the
 * folder, with one index or each with its own. A file being read is never pulled away: who reads it has it open, and
 * unlinking takes the name alone.
 */
export class Blobs {
  /** Resolves when what dead processes left has been removed. Never rejects. */
  readonly swept: Promise<void>;
  readonly #options: BlobsOptions;
  readonly #folder: Folder;
  readonly #index: BlobIndex;
  readonly #hot: HotFiles;
  readonly #room: Room;
  readonly #fills = new Map<string, SharedFill>();
  readonly #ending = new AbortController();
  #looking: Promise<void> | undefined;

  /** @throws Error (node:fs, node:sqlite) when a directory cannot be used */
  constructor(options: BlobsOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true });
    this.#folder = new Folder(options.sharedDirectory ?? filesDirectory(options.directory));
    this.#hot = new HotFiles(options.memoryBytes ?? 0);
    this.#index = new BlobIndex({ ...options, file: join(options.directory, "files.sqlite") });
    this.#room = new Room({
      ...options,
      index: this.#index,
      folder: this.#folder,
      onEvicted: (bytes) => options.onEvent?.({ kind: "evicted", bytes }),
    });
    this.swept = this.lookRound();
  }

  /** The fill of this file, if one is under way here. */
  filling(key: BlobKey): SharedFill | undefined {
    return this.#fills.get(key.path);
  }

  /** A file of which memory has something: nothing about it has to be waited for. */
  hot(key: BlobKey): HotFile | undefined {
    const file = this.#hot.find(key.path);
    if (file !== undefined) this.#index.use(file.name);
    return file;
  }

  /**
   * A file that is held, open. A row without its bytes is a miss, and removed; a file without a row is another's, and
   * taken in.
   */
  async find(key: BlobKey): Promise<BlobReading | undefined> {
    const name = nameOf(key);
    try {
      const row = this.#index.get(name);
      if (row === undefined) return await this.#takeIn(key, name);
      const handle = await this.#open(name, row);
      if (handle === undefined) this.#index.remove(name);
      else this.#index.use(name);
      return handle && this.#reading(key.path, name, handle, row);
    } catch (error) {
      this.#options.onSurvived("files: lookup", key.path, error);
      return undefined;
    }
  }

  /** Begins to fetch a file, or joins who does already. */
  fill(key: BlobKey, source: Source): { fill: SharedFill; collapsed: boolean } {
    const underWay = this.#fills.get(key.path);
    if (underWay !== undefined) return { fill: underWay, collapsed: true };
    const { clock, leases } = this.#options;
    const startedAt = clock.now();
    const { signal } = this.#ending;
    const fill = new SharedFill({
      blake2b256: key.blake2b256,
      leases,
      leaseKey: this.#leaseKey(key),
      lead: (token, salvage) => this.#lead(key, source, token, salvage),
      publish: () => this.#publish(key, source),
      findFinished: () => this.find(key),
      openPart: (token) => this.#openPart(key, token),
      clock,
      signal,
    });
    this.#fills.set(key.path, fill);
    void fill.done.then((outcome) => {
      this.#forget(key, fill);
      const ms = clock.now() - startedAt;
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

  /** Writes down what was used since the last time; to be called now and then. Never rejects. */
  async flushUses(): Promise<void> {
    await this.#room.flushUses();
  }

  /** Makes the index agree with the folder; to be called now and then, for others may write there. Never rejects. */
  lookRound(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  /** Breaks fills under way, and lets go of the directory. Files that are open can still be read. */
  async close(): Promise<void> {
    this.#ending.abort(new UpstreamUnavailable("stopping", "larder is stopping"));
    await Promise.all([this.#looking, ...[...this.#fills.values()].map((fill) => fill.done)]);
    await this.flushUses();
    try {
      this.#index.close();
      this.#folder.temporaries.close();
    } catch (error) {
      this.#options.onSurvived("files: close", this.#options.directory, error);
    }
  }

  async #look(): Promise<void> {
    const { clock, sharedDirectory, onSurvived } = this.#options;
    const places = { folder: this.#folder, index: this.#index, clock };
    try {
      await lookRound({ ...places, isShared: sharedDirectory !== undefined, signal: this.#ending.signal });
    } catch (error) {
      onSurvived("files: sweep", this.#options.directory, error);
    }
    await this.#room.make();
  }

  /** Whom a fill serves: who cannot get at what another has fetched had better not wait for it. */
  #leaseKey({ path }: BlobKey): string {
    return this.#options.isPublished === true ? `file ${path}` : `file ${this.#folder.id} ${path}`;
  }

  #lead(key: BlobKey, source: Source, token: number | undefined, salvage: Salvage | undefined): Fill {
    const { clock, onSurvived, onEvent } = this.#options;
    return new Fill({
      blake2b256: key.blake2b256,
      source: salvage === undefined ? source : salvaging(salvage, source),
      place: new PartPlace({
        key,
        token,
        folder: this.#folder,
        index: this.#index,
        room: this.#room,
        onSurvived,
        onOver: () => this.#forget(key, undefined),
        onResumed: () => onEvent?.({ kind: "resumed" }),
      }),
      clock,
      signal: this.#ending.signal,
    });
  }

  /** Before anybody hears of its end: who asks next must find the file, or begin anew. */
  #forget(key: BlobKey, fill: SharedFill | undefined): void {
    if (fill === undefined || this.#fills.get(key.path) === fill) this.#fills.delete(key.path);
  }

  async #publish(key: BlobKey, source: Source): Promise<void> {
    const name = nameOf(key);
    try {
      const row = this.#index.get(name);
      if (row !== undefined) await source.publish?.({ ...row, open: () => this.#open(name, row) });
    } catch (error) {
      this.#options.onSurvived("files: hand on", key.path, error);
    }
  }

  /** What a fill of another process has written so far. */
  async #openPart(key: BlobKey, token: number): Promise<GrowingPart | undefined> {
    try {
      const facts = await this.#folder.facts(nameOf(key));
      if (facts?.filling?.token !== token || facts.path !== key.path) return undefined;
      const handle = await this.#folder.openPart(facts.filling.part);
      return handle && { ...facts, handle };
    } catch (error) {
      this.#options.onSurvived("files: lookup", key.path, error);
      return undefined;
    }
  }

  /** A file that another process has stored, where its rows are not seen here. */
  async #takeIn(key: BlobKey, name: string): Promise<BlobReading | undefined> {
    const facts = await this.#folder.facts(name);
    if (facts?.path !== key.path) return undefined;
    const handle = await this.#folder.open(name);
    if (handle === undefined) return undefined;
    try {
      const { size } = await handle.stat();
      if (size === facts.bytes) {
        this.#index.put(name, key.path, facts);
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
    const handle = await this.#folder.open(name);
    if (handle === undefined) return undefined;
    const { size } = await handle.stat();
    if (size === row.bytes) return handle;
    await handle.close();
    await this.#room.remove(name);
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
