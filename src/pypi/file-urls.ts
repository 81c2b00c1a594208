import { ByteSpanList, type ByteSpans } from "./byte-spans.ts";
import type { DocumentView } from "./json-document.ts";
import { afterPrefix, encodeText } from "./json-text.ts";
import { inSlices } from "./sliced-work.ts";

/** How many bytes are copied in one turn of the event loop: less than 1 ms where the memory is not new. */
const SLICE_BYTES = 524_288;

/** What handling one URL costs, in bytes copied in the same time. */
const URL_COSTS_BYTES = 256;

const PACKAGES = Buffer.from("/packages/");

/** The spans to be replaced: the text `from` of each url where `/packages/` follows it. */
function* findPrefixes(bytes: Buffer, urls: ByteSpans, from: string): Generator<undefined, ByteSpans> {
  const prefix = Buffer.from(from);
  const found = new ByteSpanList();
  for (let i = 0; i < urls.count; i++) {
    if (i > 0 && i % (SLICE_BYTES / URL_COSTS_BYTES) === 0) yield;
    const start = urls.start(i);
    const end = urls.end(i);
    const prefixEnd = afterPrefix(bytes, start, end, prefix);
    if (prefixEnd !== -1 && afterPrefix(bytes, prefixEnd, end, PACKAGES) !== -1) found.add(start, prefixEnd);
  }
  return found;
}

/** The bytes with `text` in the place of each span. */
function* replaceSpans(bytes: Buffer, spans: ByteSpans, text: Buffer): Generator<undefined, Buffer> {
  const out = Buffer.allocUnsafe(bytes.length - spans.bytes + spans.count * text.length);
  let written = 0;
  let read = 0;
  let left = SLICE_BYTES;
  for (let i = 0; i <= spans.count; i++) {
    const gapEnd = i < spans.count ? spans.start(i) : bytes.length;
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
    if (i < spans.count) written += text.copy(out, written);
    read = spans.end(i);
  }
  return out;
}

function* rewriting(
  bytes: Buffer,
  view: DocumentView,
  from: string,
  to: string,
): Generator<undefined, Buffer> {
  if (from === to) return bytes;
  const spans = yield* findPrefixes(bytes, view.fileUrls, from);
  return spans.count === 0 ? bytes : yield* replaceSpans(bytes, spans, encodeText(to));
}

/**
 * Points the file URLs of a document elsewhere, and leaves every other byte as it is (facts/pypi.md §8.2).
 *
 * @param view what `scanDocument` said of these bytes
 * @param from scheme and authority of the files host, ASCII, without a slash at its end; only URLs that go on with
 *   `/packages/` are rewritten, however they are escaped
 * @param to what stands in its place, without a slash at its end
 * @returns the same Buffer where there is nothing to rewrite; for a large document a promise: the event loop has
 *   turns in between, during which the bytes must not change
 */
export function rewriteFileUrls(
  bytes: Buffer,
  view: DocumentView,
  from: string,
  to: string,
): Buffer | Promise<Buffer> {
  return inSlices(rewriting(bytes, view, from, to));
}
