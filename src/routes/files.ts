import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import { LOCAL, missed } from "../cache/cache-status.ts";
import type { Clock } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { type HashPath, type LegacyPath, parseFilePath } from "../pypi/file-path.ts";
import {
  FILE_MAX_AGE_SECONDS,
  type FileHead,
  fileEtag,
  type Files,
  type FoundFile,
} from "../resources/files.ts";
import { type RangeSelection, contentRange, isSameRepresentation, selectRange } from "./byte-ranges.ts";
import { isModifiedSince, isNoneMatch } from "./conditional.ts";
import { type Bindings, type Exchange, exchangeOf } from "./exchange.ts";
import { type Multipart, multipart } from "./multipart.ts";
import { retryAfter } from "./retry-after.ts";
import { send } from "./send.ts";
import { sendFile } from "./send-file.ts";

export interface FilesRoutesOptions {
  readonly files: Files;
  readonly clock: Clock;
  /** Answers for what is kept beside a distribution and has another hash than its path: metadata, signatures. */
  readonly beside: (exchange: Exchange, path: HashPath) => Promise<Response> | Response;
  /** Answers for a path as before 2016. */
  readonly legacy: (exchange: Exchange, path: LegacyPath) => Promise<Response> | Response;
  /** A file could not be sent whole, and its client's connection was broken because of it. */
  readonly onBroken: (path: string, error: unknown) => void;
}

const ROUTE = "file";

/** PyPI's files, at the paths of its files host (facts/pypi.md §3). */
export function filesRoutes(app: Hono<{ Bindings: Bindings }>, options: FilesRoutesOptions): void {
  app.on(["GET", "HEAD", "OPTIONS"], "/packages/*", async (context) => {
    const exchange = exchangeOf(context);
    const path = parseFilePath(pathOf(exchange));
    if (path === undefined) return sendAbsent(exchange);
    if (exchange.incoming.method === "OPTIONS") return sendPreflight(exchange);
    if (path.kind === "legacy") return await options.legacy(exchange, path);
    if (path.isMetadata || path.isSignature || path.isProvenance) return await options.beside(exchange, path);
    return await serveFile(exchange, path, options);
  });
}

function pathOf({ incoming }: Exchange): string {
  return incoming.url?.split("?", 1)[0] ?? "";
}

async function serveFile(exchange: Exchange, path: HashPath, options: FilesRoutesOptions): Promise<Response> {
  const { incoming } = exchange;
  // The tag has the hash of the bytes: who names it has them, whether or not they are here.
  if (isNamed(incoming.headers["if-none-match"], fileEtag(path))) {
    return sendNotModified(exchange, path, undefined, options);
  }
  let found: FoundFile;
  try {
    found = await (incoming.method === "HEAD" ? options.files.head(path) : options.files.open(path));
  } catch (error) {
    if (!(error instanceof UpstreamUnavailable)) throw error;
    return sendUnavailable(exchange, error);
  }
  if (found.kind === "absent") return sendAbsent(exchange, found);
  try {
    return await answer(exchange, path, found, options);
  } finally {
    found.reading?.close();
  }
}

/** By name, not by `*`: that asks whether there is any such file. */
function isNamed(ifNoneMatch: string | undefined, etag: string): boolean {
  return ifNoneMatch?.trim() !== "*" && isNoneMatch(ifNoneMatch, etag);
}

type File = FoundFile & { readonly kind: "file" };

async function answer(
  exchange: Exchange,
  path: HashPath,
  file: File,
  options: FilesRoutesOptions,
): Promise<Response> {
  const { headers, method } = exchange.incoming;
  const { bytes, lastModified } = file.head;
  const isKnown =
    headers["if-none-match"] === undefined
      ? !isModifiedSince(headers["if-modified-since"], lastModified)
      : isNoneMatch(headers["if-none-match"], fileEtag(path));
  if (isKnown) return sendNotModified(exchange, path, file, options);
  // RFC 9110 §14.2: Range has a meaning for GET alone.
  const mayRange =
    method === "GET" && isSameRepresentation(ifRangeOf(exchange), fileEtag(path), lastModified);
  const selection = selectRange(mayRange ? headers.range : undefined, bytes);
  if (selection.kind === "unsatisfiable") return sendUnsatisfiable(exchange, file);
  return sendBody(exchange, path, file, selection, options);
}

function ifRangeOf({ incoming }: Exchange): string | undefined {
  const value = incoming.headers["if-range"];
  return Array.isArray(value) ? value[0] : value;
}

async function sendBody(
  exchange: Exchange,
  path: HashPath,
  file: File,
  selection: Exclude<RangeSelection, { kind: "unsatisfiable" }>,
  options: FilesRoutesOptions,
): Promise<Response> {
  const { head, reading, status: cacheStatus } = file;
  const body = bodyOf(selection, path, head);
  const fields = [
    ...["Content-Type", body.contentType, "Content-Length", String(body.bytes), ...body.fields],
    ...["Accept-Ranges", "bytes", ...validators(path, head), ...freshness(head, options)],
    // facts/pypi.md §3: on GET alone.
    ...(exchange.incoming.method === "GET" ? CORS_FIELDS : []),
  ];
  const status: 200 | 206 = selection.kind === "whole" ? 200 : 206;
  const reply = { status, fields, date: head.date, cacheStatus };
  if (reading === undefined || exchange.incoming.method === "HEAD") {
    return send(exchange, ROUTE, { ...reply, body: undefined });
  }
  try {
    await sendFile(exchange, ROUTE, { ...reply, reading, pieces: body.pieces, clock: options.clock });
  } catch (error) {
    // Never a clean end (clients.md rule 8): that is all the client can tell a part from the whole by.
    const isClientGone = exchange.outgoing.destroyed || isOfConnection(error);
    exchange.outgoing.destroy();
    if (!isClientGone) options.onBroken(pathOf(exchange), error);
  }
  return RESPONSE_ALREADY_SENT;
}

/** Whether it is the client's connection that broke: a write may hear of it before the response does. */
function isOfConnection(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "ECONNRESET");
}

interface Body extends Pick<Multipart, "pieces" | "bytes"> {
  readonly contentType: string;
  readonly fields: readonly string[];
}

function bodyOf(
  selection: Exclude<RangeSelection, { kind: "unsatisfiable" }>,
  path: HashPath,
  { bytes, contentType }: FileHead,
): Body {
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

function sendNotModified(
  exchange: Exchange,
  path: HashPath,
  file: File | undefined,
  options: FilesRoutesOptions,
): Response {
  const known = file === undefined ? [] : freshness(file.head, options);
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

function sendUnsatisfiable(exchange: Exchange, { head, status }: File): Response {
  return send(exchange, ROUTE, {
    status: 416,
    fields: ["Content-Range", `bytes */${head.bytes}`, "Accept-Ranges", "bytes", ...TEXT, ...CORS_FIELDS],
    body: Buffer.from("416 Range Not Satisfiable\n"),
    cacheStatus: status,
  });
}

/** Upstream's own 404 is XML of its storage; nobody reads it. */
function sendAbsent(exchange: Exchange, found?: FoundFile): Response {
  return send(exchange, ROUTE, {
    status: 404,
    fields: [...TEXT, ...CORS_FIELDS],
    body: Buffer.from("404 Not Found\n"),
    cacheStatus: found?.status ?? LOCAL,
  });
}

/** Never a 404, never a 504 (clients.md rules 5 and 6). */
function sendUnavailable(exchange: Exchange, error: UpstreamUnavailable): Response {
  const text = `503 Service Unavailable: the file is not held, and upstream has no answer: ${error.failure}\n`;
  return send(exchange, ROUTE, {
    status: 503,
    fields: [...TEXT, "Retry-After", retryAfter(error), "Cache-Control", "no-store"],
    body: Buffer.from(text),
    cacheStatus: missed(error),
  });
}

/** facts/pypi.md §3. */
function sendPreflight(exchange: Exchange): Response {
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
function freshness({ date }: FileHead, { clock }: FilesRoutesOptions): string[] {
  const ageMs = Math.max(0, clock.now() - Date.parse(date));
  return [...CACHE_CONTROL, "Age", String(Math.floor(ageMs / 1000))];
}
