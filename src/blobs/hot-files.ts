import { BoundedMap } from "../bounded-map.ts";
import type { BlobFacts } from "./source.ts";

/** A file that was read lately: what it is, and the pieces of it that memory has. Immutable, so never out of date. */
export interface HotFile {
  /** Its name on disk. */
  readonly name: string;
  readonly bytes: number;
  readonly facts: BlobFacts;
  /** The bytes [`startAt`, `endAt`), where these were read, or all; a string has a byte for each character (latin1). */
  piece(startAt: number, endAt: number): Buffer | string | undefined;
}

// One read from disk. What is longer is worth its memory only as a whole that is wanted again and again.
const MOST_PIECE_BYTES = 256 * 1024;

// A body that is no longer goes out in one write with its head.
const AS_TEXT_UP_TO_BYTES = 15_000;

// What a piece costs beside its bytes: places in maps, the file's facts. Measured roughly, rounded up.
const OVERHEAD_BYTES = 1_024;

// Of the budget. A byte of a small file saves 40 times as much as one of a large file, and must not go for it.
const SHARE_OF_LARGE_FILES = 0.5;

// Of that half, the largest file that is kept: 24 MiB by default, which numpy's wheel is below.
const MOST_SHARE_OF_ONE = 0.75;

// Large files that were read whole once: one that is read again, before so many others were, is wanted.
const MOST_READ_ONCE = 256;

// So many times their budget may large files take that are held, or forgotten while clients were still taking them.
const MOST_LIVING = 2;

/** A file whose bytes can be read. */
export interface ReadableFile extends Omit<HotFile, "piece"> {
  readonly path: string;
  /** Fills a buffer with its bytes from `startAt` on. */
  readonly read: (buffer: Buffer, startAt: number) => Promise<void>;
}

/** A budget, and what is kept within it, in order of last use, oldest first. */
interface Shelf {
  readonly maxBytes: number;
  readonly order: Set<Piece>;
  bytes: number;
}

interface Piece {
  readonly path: string;
  readonly span: string;
  readonly bytes: Buffer | string;
  readonly shelf: Shelf;
}

type Held = HotFile & { readonly pieces: Map<string, Piece> };

/**
 * In memory: small files, small parts of large ones, and large ones that are wanted again and again. To open, look at and
 * close a file costs six times what sending 64 kB of it does; of 10 MB, reading them is half. Clients ask for the same
 * parts: of a wheel, its directory at the end. Least recently used out first.
 */
export class HotFiles {
  readonly #files = new Map<string, Held>();
  readonly #small: Shelf;
  readonly #large: Shelf;
  /** Paths. */
  readonly #readOnce = new BoundedMap<string, true>(MOST_READ_ONCE);
  /** One at a time: what is being read is not counted yet. */
  #isReadingLarge = false;
  /** Of large files, held or not: clients that are slow may be taking what was forgotten. */
  #livingBytes = 0;
  readonly #ends = new FinalizationRegistry<number>((bytes) => (this.#livingBytes -= bytes));

  constructor(maxBytes: number) {
    const largeBytes = maxBytes * SHARE_OF_LARGE_FILES;
    this.#large = { maxBytes: largeBytes, order: new Set(), bytes: 0 };
    this.#small = { maxBytes: maxBytes - largeBytes, order: new Set(), bytes: 0 };
  }

  /** The file at this path, where any of it is held. */
  find(path: string): HotFile | undefined {
    return this.#files.get(path);
  }

  /**
   * Reads the bytes [`startAt`, `endAt`) of a file that nobody changes any more, and keeps them.
   *
   * @returns undefined where they are not worth keeping: nothing was read
   * @throws whatever reading does
   */
  async read(file: ReadableFile, startAt: number, endAt: number): Promise<Buffer | undefined> {
    const bytes = endAt - startAt;
    if (bytes <= MOST_PIECE_BYTES) {
      return fits(bytes, this.#small.maxBytes)
        ? await this.#read(file, startAt, endAt, this.#small)
        : undefined;
    }
    if (bytes !== file.bytes || !this.#hasRoomFor(bytes) || !this.#noteRead(file.path)) return undefined;
    this.#isReadingLarge = true;
    try {
      const whole = await this.#read(file, startAt, endAt, this.#large);
      this.#livingBytes += bytes;
      this.#ends.register(whole.buffer, bytes);
      return whole;
    } finally {
      this.#isReadingLarge = false;
    }
  }

  /** Pieces held, and the bytes counted against the bound. */
  size(): { readonly entries: number; readonly bytes: number } {
    const { order, bytes } = this.#small;
    return { entries: order.size + this.#large.order.size, bytes: bytes + this.#large.bytes };
  }

  /** Whether a large file may be read now. */
  #hasRoomFor(bytes: number): boolean {
    const { maxBytes } = this.#large;
    const isBounded = this.#livingBytes + bytes <= maxBytes * MOST_LIVING;
    return isBounded && !this.#isReadingLarge && fits(bytes, maxBytes * MOST_SHARE_OF_ONE);
  }

  /** Notes that all of a large file is read. @returns whether it was so before */
  #noteRead(path: string): boolean {
    if (this.#readOnce.delete(path)) return true;
    this.#readOnce.set(path, true);
    return false;
  }

  async #read(file: ReadableFile, startAt: number, endAt: number, shelf: Shelf): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(endAt - startAt);
    await file.read(bytes, startAt);
    const { path } = file;
    const span = spanOf(startAt, endAt);
    const { pieces } = this.#hold(file);
    if (pieces.has(span)) return bytes; // another reader was as fast
    const isText = bytes.length <= AS_TEXT_UP_TO_BYTES;
    const piece = { path, span, bytes: isText ? bytes.toString("latin1") : bytes, shelf };
    pieces.set(span, piece);
    shelf.order.add(piece);
    shelf.bytes += bytes.length + OVERHEAD_BYTES;
    for (const oldest of shelf.order) {
      if (shelf.bytes <= shelf.maxBytes) break;
      this.#forget(oldest);
    }
    return bytes;
  }

  #hold({ path, name, bytes, facts }: ReadableFile): Held {
    let held = this.#files.get(path);
    if (held === undefined) {
      const pieces = new Map<string, Piece>();
      const piece: HotFile["piece"] = (startAt, endAt) => {
        const exactly = pieces.get(spanOf(startAt, endAt));
        if (exactly !== undefined) return use(exactly);
        const whole = pieces.get(spanOf(0, bytes));
        return whole && cut(use(whole), startAt, endAt);
      };
      this.#files.set(path, (held = { name, bytes, facts, pieces, piece }));
    }
    return held;
  }

  #forget(piece: Piece): void {
    const { shelf, path, span, bytes } = piece;
    shelf.order.delete(piece);
    shelf.bytes -= bytes.length + OVERHEAD_BYTES;
    const file = this.#files.get(path);
    file?.pieces.delete(span);
    if (file?.pieces.size === 0) this.#files.delete(path);
  }
}

function fits(bytes: number, maxBytes: number): boolean {
  return bytes > 0 && bytes + OVERHEAD_BYTES <= maxBytes;
}

function use(piece: Piece): Buffer | string {
  const { order } = piece.shelf;
  order.delete(piece);
  order.add(piece);
  return piece.bytes;
}

function cut(bytes: Buffer | string, startAt: number, endAt: number): Buffer | string {
  return typeof bytes === "string" ? bytes.slice(startAt, endAt) : bytes.subarray(startAt, endAt);
}

function spanOf(startAt: number, endAt: number): string {
  return `${startAt}-${endAt}`;
}
