import { inSlices } from "../event-loop.ts";
import { ByteSpanList, type ByteSpans } from "./byte-spans.ts";
import { HtmlScanner, type HtmlEvents } from "./html-scanner.ts";
import { isHtmlName } from "./html-text.ts";
import { NotHtml } from "./not-html.ts";

/** How many bytes are scanned in one turn of the event loop: about 1 ms, and up to 10 before V8 has compiled it. */
const SLICE_BYTES = 131_072;

/** What larder needs to know of a page of the Simple API in HTML (PEP 503). */
export interface SimpleHtmlView {
  /** Of the last `<!--SERIAL n-->`; undefined where there is none, or none that is a safe integer. */
  readonly lastSerial: number | undefined;
  /** Where the values of `href` and `data-provenance` of the anchors stand, in order, without what surrounds them. */
  readonly urls: ByteSpans;
  /** Whether it has one of PyPI's marks, and not just a link to something that is named as distributions are. */
  readonly isMarked: boolean;
}

const tag = (name: string) => Buffer.from(name);
const TAGS = [tag("a"), tag("meta"), tag("title"), tag("html")] as const;
const [ANCHOR, META, TITLE, HTML] = TAGS;
const HREF = Buffer.from("href");
const PROVENANCE = Buffer.from("data-provenance");
const NAME = Buffer.from("name");
const VERSION_META = Buffer.from("pypi:repository-version");

const SERIAL = /^\s*SERIAL\s+(\d+)\s*$/;
const TITLE_OF_LINKS = /^\s*Links for /i;
const DISTRIBUTION = /\.(?:whl|tar\.(?:gz|bz2|xz|Z|lzma)|tgz|tbz|zip|egg|exe|msi|dmg|rpm|deb)$/i;

// Longer ones are not looked into: they would be decoded in one go, and none of PyPI's comes near.
const MAX_LOOK_BYTES = 2_048;

class PageReader implements HtmlEvents {
  readonly #bytes: Buffer;
  readonly #urls = new ByteSpanList();
  #tag: Buffer | undefined;
  #lastSerial: number | undefined;
  /** Whether a mark of PyPI's has shown that this is a page of links; or else a link to a distribution. */
  #isMarked = false;
  #hasDistribution = false;
  #isHtmlOpen = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  startTag(nameStart: number, nameEnd: number): void {
    this.#tag = TAGS.find((name) => isHtmlName(this.#bytes, nameStart, nameEnd, name));
    if (this.#tag === HTML) this.#isHtmlOpen = true;
  }

  endTag(nameStart: number, nameEnd: number): void {
    if (isHtmlName(this.#bytes, nameStart, nameEnd, HTML)) this.#isHtmlOpen = false;
  }

  attribute(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    if (this.#tag === ANCHOR) this.#anchorAttribute(nameStart, nameEnd, valueStart, valueEnd);
    if (this.#tag !== META || !isHtmlName(this.#bytes, nameStart, nameEnd, NAME)) return;
    if (isHtmlName(this.#bytes, valueStart, valueEnd, VERSION_META)) this.#isMarked = true;
  }

  #anchorAttribute(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const isHref = isHtmlName(this.#bytes, nameStart, nameEnd, HREF);
    if (!isHref && !isHtmlName(this.#bytes, nameStart, nameEnd, PROVENANCE)) return;
    if (valueStart < valueEnd) this.#urls.add(valueStart, valueEnd);
    if (isHref && !this.#hasDistribution)
      this.#hasDistribution = isToDistribution(this.#look(valueStart, valueEnd));
  }

  comment(start: number, end: number): void {
    const digits = SERIAL.exec(this.#look(start, end))?.[1];
    if (digits === undefined) return;
    const serial = Number(digits);
    this.#lastSerial = Number.isSafeInteger(serial) ? serial : undefined;
    this.#isMarked = true;
  }

  rawText(start: number, end: number): void {
    if (this.#tag === TITLE && TITLE_OF_LINKS.test(this.#look(start, end))) this.#isMarked = true;
  }

  #look(start: number, end: number): string {
    return end - start > MAX_LOOK_BYTES ? "" : this.#bytes.toString("latin1", start, end);
  }

  view(): SimpleHtmlView {
    const { length } = this.#bytes;
    if (this.#isHtmlOpen) throw new NotHtml(length, "it ends before </html>");
    if (!this.#isMarked && !this.#hasDistribution)
      throw new NotHtml(length, "it has no mark of one, and no link to a distribution");
    return { lastSerial: this.#lastSerial, urls: this.#urls, isMarked: this.#isMarked };
  }
}

function isToDistribution(href: string): boolean {
  return DISTRIBUTION.test(href.replace(/[?#].*$/s, "").trimEnd());
}

function* scanning(bytes: Buffer): Generator<undefined, SimpleHtmlView> {
  const reader = new PageReader(bytes);
  const scanner = new HtmlScanner(bytes, reader);
  while (!scanner.scan(SLICE_BYTES)) yield;
  return reader.view();
}

/**
 * Proves as far as one can that a body is a whole page of links of the Simple API, and finds what larder needs to know
 * of it, in one pass over the bytes.
 *
 * Whole: it does not end within a tag or a comment, and an `<html>` is closed. A page of links, and not one of an error
 * or a challenge, which is HTML too (facts/pypi.md §8.20): it has one of PyPI's marks, which are the meta
 * `pypi:repository-version`, a comment `SERIAL n`, and a title that begins "Links for" (an empty list has these as
 * well); or, as from other upstreams, a link to a file that is named as distributions are.
 *
 * @returns the view itself up to 128 KiB; beyond, a promise of it: the event loop has turns in between
 * @throws NotHtml the body cannot be trusted (thrown at once, or the rejection of the promise)
 */
export function scanSimpleHtml(bytes: Buffer): SimpleHtmlView | Promise<SimpleHtmlView> {
  return inSlices(scanning(bytes));
}
