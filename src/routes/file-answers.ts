import { LOCAL, missed } from "../cache/cache-status.ts";
import type { Clock } from "../clock.ts";
import type { UpstreamUnavailable } from "../errors.ts";
import type { HashPath } from "../pypi/file-path.ts";
import { FILE_MAX_AGE_SECONDS, fileEtag, type FileHead, type FoundFile } from "../resources/files.ts";
import { type RangeSelection, contentRange, isSameRepresentation, selectRange } from "./byte-ranges.ts";
import { isModifiedSince, isNoneMatch } from "./conditional.ts";
import type { PlainExchange, RequestHead } from "./exchange.ts";
import { type Multipart, multipart } from "./multipart.ts";
import { retryAfter } from "./retry-after.ts";
import { send } from "./send.ts";
import type { FileReply } from "./send-file.ts";

/** The route's name in log and metrics. */
export const ROUTE = "file";

export type File = FoundFile & { readonly kind: "file" };

/** What of a file is sent: all of it, or parts. */
export type Sendable = Exclude<RangeSelection, { kind: "unsatisfiable" }>;

/** What of a file a request is answered with, by its conditions and its Range. */
export function select(
  { incoming }: PlainExchange,
  path: HashPath,
  { bytes, lastModified }: FileHead,
): RangeSelection | { readonly kind: "not-modified" } {
  const { headers, method } = incoming;
  const isKnown =
    headers["if-none-match"] === undefined
      ? !isModifiedSince(headers["if-modified-since"], lastModified)
      : isNoneMatch(headers["if-none-match"], fileEtag(path));
  if (isKnown) return { kind: "not-modified" };
  // RFC 9110 §14.2: Range has a meaning for GET alone.
  const mayRange =
    method === "GET" && isSameRepresentation(ifRangeOf(incoming), fileEtag(path), lastModified);
  return selectRange(mayRange ? headers.range : undefined, bytes);
}

function ifRangeOf({ headers }: RequestHead): string | undefined {
  const value = headers["if-range"];
  return Array.isArray(value) ? value[0] : value;
}

/** A 200 or 206, all but its bytes. */
export function replyOf(
  { incoming }: PlainExchange,
  path: HashPath,
  { head, status: cacheStatus }: File,
  selection: Sendable,
  clock: Clock,
): Omit<FileReply, "reading"> {
  const body = bodyOf(selection, path, head);
  const fields = [
    ...["Content-Type", body.contentType, "Content-Length", String(body.bytes), ...body.fields],
    ...["Accept-Ranges", "bytes", ...validators(path, head), ...freshness(head, clock)],
    // facts/pypi.md §3: on GET alone.
    ...(incoming.method === "GET" ? CORS_FIELDS : []),
  ];
  const status = selection.kind === "whole" ? 200 : 206;
  return { status, fields, date: head.date, cacheStatus, pieces: body.pieces };
}

interface Body extends Pick<Multipart, "pieces" | "bytes"> {
  readonly contentType: string;
  readonly fields: readonly string[];
}

function bodyOf(selection: Sendable, path: HashPath, { bytes, contentType }: FileHead): Body {
  if (selection.kind === "whole") {
    return { contentType, fields: [], bytes, pieces: [{ startAt: 0, endAt: bytes }] };
  }
  if (selection.kind === "one") {
    const { range } = selection;
    const fields = ["Content-Range", contentRange(range, bytes)];
    return { contentType, fields, bytes: range.endAt - range.startAt, pieces: [range] };
  }
  // No file holds its own hash: the boundary cannot be in it, and need not be made up anew each time.
  const boundary = `larder-${path.blake2b256.slice(0, 48)}`;
  const parts = multipart(selection.ranges, { boundary, bytes, contentType });
  return { ...parts, contentType: `multipart/byteranges; boundary=${boundary}`, fields: [] };
}

/** A 304; with what is known of the file, where that had to be looked up. */
export function sendNotModified(
  exchange: PlainExchange,
  path: HashPath,
  file: File | undefined,
  clock: Clock,
): Response {
  const known = file === undefined ? [] : freshness(file.head, clock);
  const fields =
    file === undefined ? ["ETag", fileEtag(path), ...CACHE_CONTROL] : validators(path, file.head);
  return send(exchange, ROUTE, {
    status: 304,
    fields: [...fields, ...known],
    body: undefined,
    cacheStatus: file?.status ?? LOCAL,
    ...(file && { date: file.head.date }),
  });
}

/** RFC 9110 §15.5.17. */
export function sendUnsatisfiable(exchange: PlainExchange, { head, status }: File): Response {
  return send(exchange, ROUTE, {
    status: 416,
    fields: ["Content-Range", `bytes */${head.bytes}`, "Accept-Ranges", "bytes", ...TEXT, ...CORS_FIELDS],
    body: Buffer.from("416 Range Not Satisfiable\n"),
    cacheStatus: status,
  });
}

/** All clients follow it (clients.md §2). Nobody may keep it: it holds for a minute. */
export function sendElsewhere(
  exchange: PlainExchange,
  found: FoundFile & { readonly kind: "elsewhere" },
): Response {
  return send(exchange, ROUTE, {
    status: 302,
    fields: [...TEXT, "Location", found.url, "Cache-Control", "no-store", ...CORS_FIELDS],
    body: Buffer.from("302 Found\n"),
    cacheStatus: found.status,
  });
}

/** Upstream's own 404 is XML of its storage; nobody reads it. */
export function sendAbsent(exchange: PlainExchange, found?: FoundFile): Response {
  return send(exchange, ROUTE, {
    status: 404,
    fields: [...TEXT, ...CORS_FIELDS],
    body: Buffer.from("404 Not Found\n"),
    cacheStatus: found?.status ?? LOCAL,
  });
}

/** Never a 404, never a 504 (clients.md rules 5 and 6). */
export function sendUnavailable(exchange: PlainExchange, error: UpstreamUnavailable): Response {
  const text = `503 Service Unavailable: the file is not held, and upstream has no answer: ${error.failure}\n`;
  return send(exchange, ROUTE, {
    status: 503,
    fields: [...TEXT, "Retry-After", retryAfter(error), "Cache-Control", "no-store"],
    body: Buffer.from(text),
    cacheStatus: missed(error),
  });
}

/** facts/pypi.md §3. */
export function sendPreflight(exchange: PlainExchange): Response {
  return send(exchange, ROUTE, {
    status: 204,
    fields: PREFLIGHT_FIELDS,
    body: undefined,
    cacheStatus: LOCAL,
  });
}

const TEXT = ["Content-Type", "text/plain; charset=UTF-8"];
const CACHE_CONTROL = ["Cache-Control", `max-age=${FILE_MAX_AGE_SECONDS}, immutable, public`];

const PREFLIGHT_FIELDS = [
  "Access-Control-Allow-Origin",
  "*",
  "Access-Control-Allow-Methods",
  "GET, HEAD, OPTIONS",
  "Access-Control-Allow-Headers",
  "Range, Accept-Encoding",
  "Access-Control-Max-Age",
  "86400",
];

const CORS_FIELDS = [
  "Access-Control-Allow-Origin",
  "*",
  "Access-Control-Allow-Methods",
  "GET, OPTIONS",
  "Access-Control-Allow-Headers",
  "Range",
  "Access-Control-Expose-Headers",
  "Content-Length, Content-Range, Accept-Ranges",
];

function validators(path: HashPath, { lastModified }: FileHead): string[] {
  return ["ETag", fileEtag(path), ...(lastModified === undefined ? [] : ["Last-Modified", lastModified])];
}

/** RFC 9111 §5.1: the age is told beside the `Date` that upstream gave it. */
function freshness({ date }: FileHead, clock: Clock): string[] {
  const ageMs = Math.max(0, clock.now() - Date.parse(date));
  return [...CACHE_CONTROL, "Age", String(Math.floor(ageMs / 1000))];
}
