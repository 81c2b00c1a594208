import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Leases } from "../fleet/leases.ts";
import type { OnSurvived } from "../store/survived.ts";
import { BlobIndex, type Tally } from "./blob-index.ts";
import { type BlobReading, Fill } from "./fill.ts";
import { type BlobKey, Folder, nameOf } from "./folder.ts";
import type { GrowingPart, Salvage } from "./following.ts";
import { HeldFiles } from "./held-files.ts";
import type { HotFile } from "./hot-files.ts";
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
  | { readonly kind: "fill"; readonly outcome: SharedOutcome; readonly bytes: number }
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
  readonly #room: Room;
  readonly #held: HeldFiles;
  readonly #fills = new Map<string, SharedFill>();
  readonly #ending = new AbortController();
  #looking: Promise<void> | undefined;

  /** @throws Error (node:fs, node:sqlite) when a directory cannot be used */
  constructor(options: BlobsOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true });
    this.#folder = new Folder(options.sharedDirectory ?? filesDirectory(options.directory));
    this.#index = new BlobIndex({
      ...options,
      file: join(options.directory, "files.sqlite"),
      onEmptied: () => void this.#lookAgain(),
    });
    this.#room = new Room({
      ...options,
      index: this.#index,
      folder: this.#folder,
      onEvicted: (bytes) => options.onEvent?.({ kind: "evicted", bytes }),
    });
    this.#held = new HeldFiles({
      folder: this.#folder,
      index: this.#index,
      room: this.#room,
      memoryBytes: options.memoryBytes ?? 0,
      onSurvived: options.onSurvived,
      signal: this.#ending.signal,
    });
    this.swept = this.lookRound();
  }

  /** The fill of this file, if one is under way here. */
  filling(key: BlobKey): SharedFill | undefined {
    return this.#fills.get(key.path);
  }

  /** A file of which memory has something: nothing about it has to be waited for. */
  hot(key: BlobKey): HotFile | undefined {
    return this.#held.hot(key);
  }

  /** A file that is held, open. */
  find(key: BlobKey): Promise<BlobReading | undefined> {
    return this.#held.find(key);
  }

  /** Begins to fetch a file, or joins who does already. */
  fill(key: BlobKey, source: Source): { fill: SharedFill; collapsed: boolean } {
    const underWay = this.#fills.get(key.path);
    if (underWay !== undefined) return { fill: underWay, collapsed: true };
    const { clock, leases } = this.#options;
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
      if (outcome === "stored") this.#held.noteStored(key);
      this.#options.onEvent?.({ kind: "fill", outcome, bytes: fill.writtenBytes });
    });
    return { fill, collapsed: false };
  }

  /** Finished files, and fills under way. */
  size(): Tally & { readonly filling: number } {
    return { ...this.#index.tally(), filling: this.#fills.size };
  }

  /** What of files is in memory. */
  memorySize(): Tally {
    return this.#held.memorySize();
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
    await Promise.all([
      this.#looking,
      this.#held.settled(),
      ...[...this.#fills.values()].map((fill) => fill.done),
    ]);
    await this.flushUses();
    try {
      this.#index.close();
      this.#folder.temporaries.close();
    } catch (error) {
      this.#options.onSurvived("files: close", this.#options.directory, error);
    }
  }

  /** One that is under way may have come upon it itself. */
  async #lookAgain(): Promise<void> {
    await this.#looking;
    await this.lookRound();
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
    try {
      const file = this.#held.stored(key);
      if (file !== undefined) await source.publish?.(file);
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
}
