import type { BlobFacts } from "./source.ts";

/** A file that was read lately: what it is, and the pieces of it that memory has. Immutable, so never out of date. */
export interface HotFile {
  /** Its name on disk. */
  readonly name: string;
  readonly bytes: number;
  readonly facts: BlobFacts;
  /** The bytes [`startAt`, `endAt`), where just these were read; a string has a byte for each character (latin1). */
  piece(startAt: number, endAt: number): Buffer | string | undefined;
}

// One read from disk. What is longer is sent as it is read: opening the file is then the least of it.
const MOST_PIECE_BYTES = 256 * 1024;

// A body that is no longer goes out in one write with its head.
const AS_TEXT_UP_TO_BYTES = 15_000;

// What a piece costs beside its bytes: places in maps, the file's facts. Measured roughly, rounded up.
const OVERHEAD_BYTES = 1_024;

interface Piece {
  readonly path: string;
  readonly span: string;
  readonly bytes: Buffer | string;
}

/**
 * Small files, and small parts of large ones, in memory: to open, look at and close a file costs six times what sending
 * 64 kB of it does. Clients ask for the same parts: of a wheel, its directory at the end. Least recently used out first.
 */
export class HotFiles {
  readonly #files = new Map<string, HotFile & { readonly pieces: Map<string, Piece> }>();
  /** In order of last use, oldest first. */
  readonly #order = new Set<Piece>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a piece of this length would be kept: it must then be read into a buffer of its own. */
  takes(bytes: number): boolean {
    return bytes > 0 && bytes <= MOST_PIECE_BYTES && bytes + OVERHEAD_BYTES <= this.#maxBytes;
  }

  /** The file at this path, where any of it is held. */
  find(path: string): HotFile | undefined {
    return this.#files.get(path);
  }

  /** Keeps the bytes of a file from `startAt` on, which nobody changes any more. */
  keep(path: string, file: Omit<HotFile, "piece">, startAt: number, bytes: Buffer): void {
    const span = spanOf(startAt, startAt + bytes.length);
    let held = this.#files.get(path);
    if (held?.pieces.has(span) === true) return;
    if (held === undefined) this.#files.set(path, (held = this.#file(file)));
    const text = bytes.length <= AS_TEXT_UP_TO_BYTES ? bytes.toString("latin1") : bytes;
    const piece = { path, span, bytes: text };
    held.pieces.set(span, piece);
    this.#order.add(piece);
    this.#bytes += bytes.length + OVERHEAD_BYTES;
    this.#shrink();
  }

  /** Pieces held, and the bytes counted against the bound. */
  size(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#order.size, bytes: this.#bytes };
  }

  #file(file: Omit<HotFile, "piece">): HotFile & { readonly pieces: Map<string, Piece> } {
    const pieces = new Map<string, Piece>();
    return {
      ...file,
      pieces,
      piece: (startAt, endAt) => {
        const piece = pieces.get(spanOf(startAt, endAt));
        if (piece === undefined) return undefined;
        this.#order.delete(piece);
        this.#order.add(piece);
        return piece.bytes;
      },
    };
  }

  #forget(piece: Piece): void {
    this.#order.delete(piece);
    this.#bytes -= piece.bytes.length + OVERHEAD_BYTES;
    const file = this.#files.get(piece.path);
    file?.pieces.delete(piece.span);
    if (file?.pieces.size === 0) this.#files.delete(piece.path);
  }

  #shrink(): void {
    for (const piece of this.#order) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#forget(piece);
    }
  }
}

function spanOf(startAt: number, endAt: number): string {
  return `${startAt}-${endAt}`;
}
