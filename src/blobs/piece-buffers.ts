export interface PieceBuffersOptions {
  /** Size of each. */
  readonly bytes: number;
  /** How many are kept for the next who wants one. */
  readonly mostSpare: number;
  /** How many are lent at once before `hasOne` is false; absent: any number. */
  readonly mostLent?: number;
}

/** Buffers of one size, used again and again: fresh memory costs a fault for each page of it. */
export class PieceBuffers {
  readonly bytes: number;
  readonly #mostSpare: number;
  readonly #mostLent: number;
  readonly #spare: Buffer[] = [];
  #lent = 0;

  constructor({ bytes, mostSpare, mostLent = Number.POSITIVE_INFINITY }: PieceBuffersOptions) {
    this.bytes = bytes;
    this.#mostSpare = mostSpare;
    this.#mostLent = mostLent;
  }

  /** Whether one may be lent. */
  get hasOne(): boolean {
    return this.#lent < this.#mostLent;
  }

  lend(): Buffer {
    this.#lent += 1;
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** Takes one back; undefined for one that somebody may still hold. */
  giveBack(buffer: Buffer | undefined): void {
    this.#lent -= 1;
    if (buffer !== undefined && this.#spare.length < this.#mostSpare) this.#spare.push(buffer);
  }
}
