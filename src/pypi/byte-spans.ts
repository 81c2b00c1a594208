/** Spans of bytes, ascending and apart. The end is exclusive; a span that is not there reads as 0 to 0. */
export interface ByteSpans {
  readonly count: number;
  /** How many bytes they cover together. */
  readonly bytes: number;
  start(index: number): number;
  end(index: number): number;
}

const CHUNK_OFFSETS = 1_024;

/** A list of spans to add to. It grows by chunks: no array of millions is ever copied in one go. */
export class ByteSpanList implements ByteSpans {
  readonly #chunks: Uint32Array[] = [];
  #last = new Uint32Array(0);
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  start(index: number): number {
    return this.#offset(2 * index);
  }

  end(index: number): number {
    return this.#offset(2 * index + 1);
  }

  add(start: number, end: number): void {
    const place = (2 * this.#count) % CHUNK_OFFSETS;
    if (place === 0) this.#chunks.push((this.#last = new Uint32Array(CHUNK_OFFSETS)));
    this.#last[place] = start;
    this.#last[place + 1] = end;
    this.#count++;
    this.#bytes += end - start;
  }

  #offset(place: number): number {
    return this.#chunks[Math.floor(place / CHUNK_OFFSETS)]?.[place % CHUNK_OFFSETS] ?? 0;
  }
}
