import type { FileHandle } from "node:fs/promises";
import type { Readable } from "node:stream";

/** What is known of a file's bytes before any of them has come. */
export interface BlobFacts {
  readonly contentType: string;
  /** As upstream sent it, an HTTP-date; undefined where it sent none. */
  readonly lastModified: string | undefined;
  /** Upstream's own `Date` of the answer that the bytes came with. */
  readonly date: string;
}

/** A body under way. */
export interface SourceStream extends BlobFacts {
  readonly kind: "stream";
  /** Where its first byte stands in the file: 0 where a Range was ignored. */
  readonly startAt: number;
  /** Of the whole file; undefined where it is not announced. */
  readonly totalBytes: number | undefined;
  /** Nothing is given to anybody before all of it is proved: there is another place to ask where it is wrong. */
  readonly isProvedFirst?: boolean;
  /** Buffers; must be read to its end or destroyed; fails with UpstreamUnavailable. */
  readonly body: Readable;
}

/** A file that is held. */
export interface StoredFile extends BlobFacts {
  readonly bytes: number;
  /** Opens it for reading; undefined where it has been evicted meanwhile. */
  open(): Promise<FileHandle | undefined>;
}

/** There is no such file. */
export interface SourceAbsent {
  readonly kind: "absent";
  readonly status: 404 | 410;
}

/** Where a file's bytes come from. */
export interface Source {
  /**
   * Opens them from `startAt` to the end.
   *
   * @param onFreshConnection after a break: not on a connection that may be as dead as the last
   * @throws UpstreamUnavailable when they cannot be had now
   */
  open(startAt: number, onFreshConnection: boolean): Promise<SourceStream | SourceAbsent>;
  /**
   * Told when a fill from it was proved and stored, to hand it on. Resolves when others can have it from there, or when
   * that has been given up; never rejects.
   */
  publish?(file: StoredFile): Promise<void>;
  /** Told that what it gave is not the file. */
  refuse?(): void;
}
