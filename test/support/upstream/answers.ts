import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { IncomingHttpHeaders } from "node:http";

/** What a site is asked. */
export interface SiteRequest {
  readonly method: string;
  /** As sent, without the query. */
  readonly path: string;
  /** As sent, with the query. */
  readonly url?: string;
  readonly headers: IncomingHttpHeaders;
  /** Of a POST. */
  readonly body?: string;
}

/** What it answers: complete, and not yet sent. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** As it goes over the wire; not sent to a HEAD. */
  readonly body: Buffer;
}

/** A part of pypi.org, such as its JSON API; undefined where the path is not its own. */
export type Site = (request: SiteRequest) => Answer | undefined;

/** Something that can be had by GET, in both codings. */
export interface Representation {
  readonly identity: Buffer;
  /** Undefined where gzip would not make it smaller (facts/pypi.md §1.7). */
  readonly gzip: Buffer | undefined;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** @param gzip bytes recorded elsewhere, to be sent as they are */
export function representation(
  identity: Buffer,
  contentType: string,
  headers: Readonly<Record<string, string>>,
  gzip: Buffer = gzipSync(identity, { level: 9 }),
): Representation {
  return { identity, gzip: gzip.length < identity.length ? gzip : undefined, contentType, headers };
}

/** Base64 MD5 without padding, in quotes: what warehouse makes of the bytes as sent (facts/pypi.md §1.5). */
export function etagOf(bytes: Buffer): string {
  return `"${createHash("md5").update(bytes).digest("base64").replace(/=+$/, "")}"`;
}

/** GET and HEAD of a representation: negotiated, and 304 where the client has it already (facts/pypi.md §1.6). */
export function answerWith(found: Representation, request: SiteRequest): Answer {
  const coded = acceptsGzip(request.headers["accept-encoding"]) ? found.gzip : undefined;
  const body = coded ?? found.identity;
  const etag = etagOf(body);
  const validated = { etag, vary: "Accept-Encoding", ...found.headers };
  if (isNamedBy(request.headers["if-none-match"], etag)) {
    return { status: 304, headers: validated, body: Buffer.alloc(0) };
  }
  const coding = coded === undefined ? {} : { "content-encoding": "gzip" };
  const content = { "content-type": found.contentType, "content-length": String(body.length), ...coding };
  return { status: 200, headers: { ...content, ...validated }, body };
}

function acceptsGzip(acceptEncoding: string | undefined): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(acceptEncoding ?? "");
}

function isNamedBy(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const named = ifNoneMatch.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return named.includes(etag) || named.includes("*");
}

/** A short answer of one text. */
export function textAnswer(
  status: number,
  contentType: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const body = Buffer.from(text, "utf8");
  return {
    status,
    headers: { "content-type": contentType, "content-length": String(body.length), ...headers },
    body,
  };
}
