/** Where pieces of a body are put together. */
export interface Sink {
  /** Bytes taken so far. */
  readonly length: number;
  add(chunk: Buffer): void;
  whole(): Buffer;
}

/**
 * A sink for a body of which the length is known, or not.
 * @param expectedBytes what was announced; what comes beyond it is taken too
 */
export function createSink(expectedBytes: number | undefined): Sink {
  return expectedBytes === undefined ? new ChunkList() : new Preallocated(expectedBytes);
}

/** Filled in place, so that joining 30 MB at the end is not one long copy. */
class Preallocated implements Sink {
  readonly #bytes: Buffer;
  readonly #beyond = new ChunkList();
  #filled = 0;

  constructor(expectedBytes: number) {
    this.#bytes = Buffer.allocUnsafe(expectedBytes);
  }

  get length(): number {
    return this.#filled + this.#beyond.length;
  }

  add(chunk: Buffer): void {
    const taken = chunk.copy(this.#bytes, this.#filled);
    this.#filled += taken;
    if (taken < chunk.length) this.#beyond.add(chunk.subarray(taken));
  }

  whole(): Buffer {
    const filled = this.#bytes.subarray(0, this.#filled);
    return this.#beyond.length === 0 ? filled : Buffer.concat([filled, this.#beyond.whole()]);
  }
}

class ChunkList implements Sink {
  readonly #chunks: Buffer[] = [];
  length = 0;

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  whole(): Buffer {
    const [first] = this.#chunks;
    return first !== undefined && this.#chunks.length === 1
      ? first
      : Buffer.concat(this.#chunks, this.length);
  }
}
