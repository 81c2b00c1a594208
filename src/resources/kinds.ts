import { UpstreamUnavailable, type UpstreamFailure } from "../errors.ts";
import type { ByteSpans } from "../pypi/byte-spans.ts";
import { HTML_TEXT } from "../pypi/html-text.ts";
import { scanDocument } from "../pypi/json-document.ts";
import { JSON_TEXT } from "../pypi/json-text.ts";
import { NotHtml } from "../pypi/not-html.ts";
import { NotJson } from "../pypi/not-json.ts";
import { scanSimpleHtml } from "../pypi/simple-html.ts";
import { scanSimpleJson } from "../pypi/simple-json.ts";
import type { TextSyntax } from "../pypi/url-moves.ts";

/** What one pass over a document found. */
export interface Scanned {
  /** The serial that the document itself tells. */
  readonly serial: number | undefined;
  /** The version of the release that it describes. */
  readonly version: string | undefined;
  /** Where the URLs stand that may be pointed elsewhere. */
  readonly urls: ByteSpans | undefined;
  /** Nothing in it is a mark of PyPI's: it may as well be a page of somebody in between. */
  readonly isUnmarked?: boolean;
}

/** A kind of document: how upstream is asked for it, what proves that it is one, how text is written in it. */
export interface DocumentKind {
  /** The `Accept` to send upstream. */
  readonly accept: string;
  /** What the answer's Content-Type must be, its parameters aside. */
  readonly mediaType: RegExp;
  /** What is wrong with a body that is not of this kind. */
  readonly failure: UpstreamFailure;
  /** @throws NotJson, NotHtml, or UpstreamUnavailable */
  readonly scan: (bytes: Buffer) => Scanned | Promise<Scanned>;
  /** For what is too large to be looked through: whether its first and its last bytes are of it. */
  readonly proveEnds?: (head: string, tail: string) => boolean;
  readonly syntax: TextSyntax;
}

const NOTHING: Scanned = { serial: undefined, version: undefined, urls: undefined };

const JSON_API: DocumentKind = {
  accept: "application/json",
  mediaType: /^application\/json$/,
  failure: "not-json",
  scan: async (bytes) => {
    const { lastSerial, version, fileUrls } = await scanDocument(bytes);
    return { serial: lastSerial, version, urls: fileUrls };
  },
  syntax: JSON_TEXT,
};

const SIMPLE_JSON: DocumentKind = {
  accept: "application/vnd.pypi.simple.v1+json",
  mediaType: /^application\/vnd\.pypi\.simple\.v1\+json$/,
  failure: "not-json",
  scan: async (bytes) => {
    const { lastSerial, hasFiles, urls } = await scanSimpleJson(bytes);
    if (!hasFiles) throw new UpstreamUnavailable("not-json", "no page of the Simple API: it has no files");
    return { serial: lastSerial, version: undefined, urls };
  },
  syntax: JSON_TEXT,
};

const SIMPLE_HTML: DocumentKind = {
  accept: "application/vnd.pypi.simple.v1+html, text/html;q=0.5",
  mediaType: /^(?:text\/html|application\/vnd\.pypi\.simple\.v1\+html)$/,
  failure: "not-html",
  scan: async (bytes) => {
    const { lastSerial, urls, isMarked } = await scanSimpleHtml(bytes);
    return { serial: lastSerial, version: undefined, urls, isUnmarked: !isMarked };
  },
  syntax: HTML_TEXT,
};

const PROVENANCE: DocumentKind = {
  accept: "application/vnd.pypi.integrity.v1+json",
  mediaType: /^application\/(?:vnd\.pypi\.integrity\.v1\+)?json$/,
  failure: "not-json",
  scan: async (bytes) => {
    await scanDocument(bytes); // that it is JSON; it has no serial and no URL of a file
    return NOTHING;
  },
  syntax: JSON_TEXT,
};

const STATS_JSON: DocumentKind = { ...PROVENANCE, accept: "application/json" };

const STATS_HTML: DocumentKind = {
  accept: "text/html",
  mediaType: /^text\/html$/,
  failure: "not-html",
  scan: (bytes) => startsWith(bytes, "not-html", "<!doctype html", "<html"),
  syntax: HTML_TEXT,
};

const RSS: DocumentKind = {
  accept: "text/xml, application/xml;q=0.9, application/rss+xml;q=0.9",
  mediaType: /^(?:text\/xml|application\/(?:rss\+)?xml)$/,
  failure: "not-xml",
  scan: (bytes) => startsWith(bytes, "not-xml", "<?xml", "<rss"),
  syntax: HTML_TEXT,
};

/** Proved by its hash (metadata.ts). */
const METADATA: DocumentKind = {
  accept: "*/*",
  mediaType: /./,
  failure: "hash-mismatch",
  scan: () => NOTHING,
  syntax: JSON_TEXT,
};

/** `/simple/` itself: 40 MB that are proved by their ends and their checksum alone, never looked through. */
const ROOT_JSON: DocumentKind = {
  ...SIMPLE_JSON,
  proveEnds: (head, tail) => /^\s*\{/.test(head) && /\}\s*$/.test(tail) && head.includes('"projects"'),
};

const ROOT_HTML: DocumentKind = {
  ...SIMPLE_HTML,
  proveEnds: (head, tail) => /^\s*<!doctype html/i.test(head) && /<\/html>\s*(?:<!--.*-->\s*)?$/i.test(tail),
};

/** By the first part of an entry's name. */
const KINDS = {
  json: JSON_API,
  "simple-json": SIMPLE_JSON,
  "simple-html": SIMPLE_HTML,
  provenance: PROVENANCE,
  "stats-json": STATS_JSON,
  "stats-html": STATS_HTML,
  rss: RSS,
  metadata: METADATA,
  "root-json": ROOT_JSON,
  "root-html": ROOT_HTML,
} as const;

export type KindName = keyof typeof KINDS;

/** The kind of the document that is filed under this name. */
export function kindOf(name: string): DocumentKind {
  const [first = ""] = name.split("/", 1);
  if (!isKindName(first)) throw new Error(`no kind of document is called ${first}`);
  return KINDS[first];
}

function isKindName(name: string): name is KindName {
  return Object.hasOwn(KINDS, name);
}

/**
 * Proves a body to be of its kind, as far as its bytes can.
 * @param where for the error: what was asked for
 * @throws UpstreamUnavailable when it is not
 */
export async function prove(kind: DocumentKind, where: string, bytes: Buffer): Promise<Scanned> {
  try {
    return await kind.scan(bytes);
  } catch (error) {
    if (!(error instanceof NotJson || error instanceof NotHtml)) throw error;
    throw new UpstreamUnavailable(kind.failure, `${where}: ${error.message}`, { cause: error, status: 200 });
  }
}

/** @throws UpstreamUnavailable when the Content-Type says that it is something else, such as a challenge page */
export function proveType(kind: DocumentKind, where: string, contentType: string): void {
  const [mediaType = ""] = contentType.toLowerCase().split(";", 1);
  if (kind.mediaType.test(mediaType.trim())) return;
  throw new UpstreamUnavailable(kind.failure, `${where}: upstream answered with ${contentType}`, {
    status: 200,
  });
}

function startsWith(bytes: Buffer, failure: DocumentKind["failure"], ...starts: readonly string[]): Scanned {
  const head = bytes.subarray(0, 64).toString("latin1").trimStart().toLowerCase();
  if (starts.some((start) => head.startsWith(start))) return NOTHING;
  throw new UpstreamUnavailable(failure, "the body is not what its Content-Type says", { status: 200 });
}
