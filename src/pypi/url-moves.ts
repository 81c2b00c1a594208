import { inSlices } from "../event-loop.ts";
import { ByteSpanList, type ByteSpans } from "./byte-spans.ts";

/** How many bytes are copied in one turn of the event loop: less than 1 ms where the memory is not new. */
const SLICE_BYTES = 524_288;

/** What handling one URL costs, in bytes copied in the same time. */
const URL_COSTS_BYTES = 256;

/** Where URLs of one kind go: those that begin with `from` and go on with `path`. All three are ASCII. */
export interface UrlMove {
  /** Scheme and authority, without a slash at its end. */
  readonly from: string;
  /** With a slash at both ends: "/packages/". It stays. */
  readonly path: string;
  /** What stands in the place of `from`, without a slash at its end: an absolute base, or a relative one ("../.."). */
  readonly to: string;
}

/** How a document writes text: which bytes it escapes, and how. */
export interface TextSyntax {
  /**
   * @param text ASCII
   * @returns the offset behind `text` in the text as written from `start` to `end`, or -1 where that does not begin so
   */
  readonly afterPrefix: (bytes: Buffer, start: number, end: number, text: Buffer) => number;
  readonly encode: (text: string) => Buffer;
}

/** A move made ready, and the spans that it replaces. */
class Replacement {
  readonly spans = new ByteSpanList();
  readonly text: Buffer;
  readonly #syntax: TextSyntax;
  readonly #from: Buffer;
  readonly #path: Buffer;
  #done = 0;

  constructor(move: UrlMove, syntax: TextSyntax) {
    this.text = syntax.encode(move.to);
    this.#syntax = syntax;
    this.#from = Buffer.from(move.from);
    this.#path = Buffer.from(move.path);
  }

  /** Takes note of the URL when it is one of those to be moved. */
  takes(bytes: Buffer, start: number, end: number): boolean {
    const fromEnd = this.#syntax.afterPrefix(bytes, start, end, this.#from);
    if (fromEnd === -1 || this.#syntax.afterPrefix(bytes, fromEnd, end, this.#path) === -1) return false;
    this.spans.add(start, fromEnd);
    return true;
  }

  /** Where the first span stands that is not replaced yet; beyond all bytes when none is left. */
  get nextStart(): number {
    return this.#done < this.spans.count ? this.spans.start(this.#done) : Infinity;
  }

  /** @returns the end of that span, which counts as replaced from now on */
  replaced(): number {
    return this.spans.end(this.#done++);
  }
}

function* findSpans(
  bytes: Buffer,
  urls: ByteSpans,
  replacements: readonly Replacement[],
): Generator<undefined, void> {
  for (let i = 0; i < urls.count; i++) {
    if (i > 0 && i % (SLICE_BYTES / URL_COSTS_BYTES) === 0) yield;
    const start = urls.start(i);
    const end = urls.end(i);
    replacements.some((replacement) => replacement.takes(bytes, start, end));
  }
}

function earliest(replacements: readonly Replacement[]): Replacement | undefined {
  let first: Replacement | undefined;
  for (const each of replacements) {
    if (each.nextStart < (first?.nextStart ?? Infinity)) first = each;
  }
  return first;
}

/** The bytes with its text in the place of each span. */
function* replaceSpans(bytes: Buffer, replacements: readonly Replacement[]): Generator<undefined, Buffer> {
  const growth = replacements.map(({ spans, text }) => spans.count * text.length - spans.bytes);
  const out = Buffer.allocUnsafe(growth.reduce((sum, each) => sum + each, bytes.length));
  let written = 0;
  let read = 0;
  let left = SLICE_BYTES;
  while (true) {
    const next = earliest(replacements);
    const gapEnd = next?.nextStart ?? bytes.length;
    while (read < gapEnd) {
      if (left <= 0) {
        yield;
        left = SLICE_BYTES;
      }
      const copied = bytes.copy(out, written, read, Math.min(gapEnd, read + left));
      read += copied;
      written += copied;
      left -= copied + URL_COSTS_BYTES;
    }
    if (next === undefined) return out;
    written += next.text.copy(out, written);
    read = next.replaced();
  }
}

function* moving(
  bytes: Buffer,
  urls: ByteSpans,
  moves: readonly UrlMove[],
  syntax: TextSyntax,
): Generator<undefined, Buffer> {
  const wanted = moves.filter(({ from, to }) => from !== to);
  if (wanted.length === 0) return bytes;
  const replacements = wanted.map((move) => new Replacement(move, syntax));
  yield* findSpans(bytes, urls, replacements);
  return replacements.some(({ spans }) => spans.count > 0) ? yield* replaceSpans(bytes, replacements) : bytes;
}

/**
 * Points URLs of a document elsewhere, and leaves every other byte as it is (facts/pypi.md §8.2).
 *
 * @param urls where they stand, ascending, in the document's own syntax
 * @param moves the first that fits a URL is taken; a URL that none fits stays as it is
 * @returns the same Buffer where nothing moves; for a large document a promise: the event loop has turns in between,
 *   during which the bytes must not change
 */
export function moveUrls(
  bytes: Buffer,
  urls: ByteSpans,
  moves: readonly UrlMove[],
  syntax: TextSyntax,
): Buffer | Promise<Buffer> {
  return inSlices(moving(bytes, urls, moves, syntax));
}
