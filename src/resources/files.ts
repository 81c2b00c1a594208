import type { BlobKey, BlobReading, Blobs, HotFile, Opened, Source } from "../blobs/blobs.ts";
import type { CacheStatus } from "../cache/cache-status.ts";
import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { encodeFilePath, type HashPath } from "../pypi/file-path.ts";
import type { Bucket } from "../s3/bucket.ts";
import { bucketFirst } from "../s3/bucket-first.ts";
import type { Uploads } from "../s3/uploads.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { Absences } from "./absences.ts";

export type { HotFile } from "../blobs/blobs.ts";

/** What the headers of an answer are made of. */
export interface FileHead {
  readonly bytes: number;
  readonly contentType: string;
  /** An HTTP-date, as upstream sent it. */
  readonly lastModified: string | undefined;
  /** Upstream's own `Date`. */
  readonly date: string;
}

/** A file, or the word that there is none. */
export type FoundFile =
  | {
      readonly kind: "file";
      readonly head: FileHead;
      /** Undefined where only the head was asked for. Must be closed. */
      readonly reading: BlobReading | undefined;
      readonly status: CacheStatus;
    }
  /** In the bucket, where the client may fetch it itself; the URL is a secret for as long as it holds. */
  | { readonly kind: "elsewhere"; readonly url: string; readonly status: CacheStatus }
  | { readonly kind: "absent"; readonly status: CacheStatus };

/** A bucket that is asked before upstream, and given what upstream gave. */
export interface FilesBucket {
  readonly bucket: Bucket;
  readonly uploads: Uploads;
  /** Whether clients are sent to it for what is there and not on this disk. */
  readonly redirects: boolean;
}

export interface FilesOptions {
  readonly blobs: Blobs;
  /** The files host. */
  readonly upstream: Upstream;
  readonly bucket?: FilesBucket | undefined;
  readonly clock: Clock;
  /** How long a 404 is believed. */
  readonly negativeMs: Ms;
}

/** RFC 9111 §5.2.2.1: what the files host says of every file, some 11 years. */
export const FILE_MAX_AGE_SECONDS = 365_000_000;

/** Strong, and the same wherever the file comes from: its path has the hash of its bytes. */
export function fileEtag({ blake2b256 }: HashPath): string {
  return `"${blake2b256}"`;
}

/** The distributions of PyPI's files host: what is held is never asked about again (facts/pypi.md §3). */
export class Files {
  readonly #options: FilesOptions;
  readonly #absences: Absences;

  constructor(options: FilesOptions) {
    this.#options = options;
    this.#absences = new Absences(options.clock, options.negativeMs);
  }

  /** A file of which memory has something; undefined says nothing. */
  hot(path: HashPath): HotFile | undefined {
    return this.#options.blobs.hot(keyOf(path));
  }

  /**
   * Finds a file for reading: on disk, being fetched, or by beginning to fetch it.
   *
   * @throws UpstreamUnavailable when it is not held and upstream has no answer
   */
  async open(path: HashPath): Promise<FoundFile> {
    try {
      return (await this.#held(path)) ?? (await this.#elsewhere(path)) ?? (await this.#fetch(path));
    } catch (error) {
      // What the bucket had was wrong, as its own hash told before anybody saw it: it is not asked for that again.
      const isWrong = error instanceof UpstreamUnavailable && error.failure === "wrong-bytes";
      if (this.#options.bucket === undefined || !isWrong) throw error;
      return await this.#fetch(path);
    }
  }

  /**
   * Finds only what the headers need. Costs upstream nothing where the file is held or coming, else a HEAD.
   *
   * @throws UpstreamUnavailable as `open`
   */
  async head(path: HashPath): Promise<FoundFile> {
    const held = await this.#held(path);
    if (held !== undefined) return held;
    const stored = await this.#options.bucket?.bucket.head(keyOf(path));
    if (stored !== undefined) {
      return { kind: "file", head: stored, reading: undefined, status: forward(200, NOT_STORED) };
    }
    const answer = await this.#options.upstream.stream(encodeFilePath(path), { method: "HEAD" });
    if (answer.kind === "absent") {
      this.#absences.note(encodeFilePath(path));
      return { kind: "absent", status: forward(answer.status, NOT_STORED) };
    }
    answer.body.destroy();
    // Content-Length must be told (clients.md rule 9), so it has to be found out.
    if (answer.totalBytes === undefined) return this.#fetch(path);
    const status = forward(answer.status, NOT_STORED);
    return { kind: "file", head: { ...answer, bytes: answer.totalBytes }, reading: undefined, status };
  }

  /** What needs no new request upstream; undefined for a miss. */
  async #held(path: HashPath): Promise<FoundFile | undefined> {
    const { blobs } = this.#options;
    const key = keyOf(path);
    const fill = blobs.filling(key);
    if (fill !== undefined) return found(await fill.join(), true);
    const reading = await blobs.find(key);
    if (reading !== undefined) {
      return { kind: "file", head: headOf(reading), reading, status: FILE_HIT };
    }
    const leftMs = this.#absences.leftMs(key.path);
    return leftMs > 0 ? { kind: "absent", status: { kind: "hit", ttlMs: leftMs } } : undefined;
  }

  /** Where a client may fetch what the bucket has. */
  async #elsewhere(path: HashPath): Promise<FoundFile | undefined> {
    const { bucket } = this.#options;
    if (bucket?.redirects !== true) return undefined;
    const key = keyOf(path);
    if ((await bucket.bucket.head(key)) === undefined) return undefined;
    const url = await bucket.bucket.presign(key);
    return url === undefined ? undefined : { kind: "elsewhere", url, status: forward(200, NOT_STORED) };
  }

  async #fetch(path: HashPath): Promise<FoundFile> {
    const { blobs, upstream, bucket } = this.#options;
    const key = keyOf(path);
    const source = sourceOf(upstream, key.path);
    const tiers = bucket === undefined ? source : bucketFirst(key, source, bucket.bucket, bucket.uploads);
    const { fill, collapsed } = blobs.fill(key, tiers);
    const opened = await fill.join();
    if (opened.kind === "absent" && !collapsed) this.#absences.note(key.path);
    return found(opened, collapsed);
  }
}

const NOT_STORED = { stored: false, collapsed: false };

const TTL_MS: Ms = FILE_MAX_AGE_SECONDS * 1_000;

/** How the cache handled a request for a file that is held. */
export const FILE_HIT: CacheStatus = { kind: "hit", ttlMs: TTL_MS };

const keys = new WeakMap<HashPath, BlobKey>();

function keyOf(path: HashPath): BlobKey {
  let key = keys.get(path);
  if (key === undefined) keys.set(path, (key = { path: encodeFilePath(path), blake2b256: path.blake2b256 }));
  return key;
}

/** What the headers of an answer are made of, of a file that is held. */
export function headOf({ bytes, facts }: Pick<BlobReading, "bytes" | "facts">): FileHead {
  return { bytes, ...facts };
}

function found(opened: Opened, collapsed: boolean): FoundFile {
  if (opened.kind === "absent") {
    return { kind: "absent", status: forward(opened.status, { stored: false, collapsed }) };
  }
  const { reading } = opened;
  const how = { stored: reading.from !== "upstream", collapsed: collapsed || reading.from === "peer" };
  return { kind: "file", head: headOf(reading), reading, status: forward(200, how) };
}

function forward(fwdStatus: number, how: { stored: boolean; collapsed: boolean }): CacheStatus {
  const ttlMs = how.stored ? TTL_MS : undefined;
  return { kind: "forward", fwd: "miss", fwdStatus, ...how, ttlMs };
}

function sourceOf(upstream: Upstream, path: string): Source {
  return {
    open: (startAt, onFreshConnection) =>
      upstream.stream(path, { method: "GET", startAt, onFreshConnection }),
  };
}
