import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import type { Clock } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { type HashPath, type LegacyPath, parseFilePath } from "../pypi/file-path.ts";
import { FILE_HIT, fileEtag, type Files, type FoundFile, headOf, type HotFile } from "../resources/files.ts";
import type { ByteRange } from "./byte-ranges.ts";
import { isNoneMatch } from "./conditional.ts";
import {
  type Bindings,
  type Exchange,
  exchangeOf,
  type PlainExchange,
  type RequestHead,
  SAFE_METHODS,
  type Serve,
} from "./exchange.ts";
import {
  type File,
  replyOf,
  ROUTE,
  select,
  type Sendable,
  sendAbsent,
  sendElsewhere,
  sendNotModified,
  sendPreflight,
  sendUnavailable,
  sendUnsatisfiable,
} from "./file-answers.ts";
import { Head } from "./head.ts";
import { HeadsOfFiles } from "./heads-of-hits.ts";
import { handOver, type HandOver } from "./hand-over.ts";
import { renderFields, send, sendRendered } from "./send.ts";
import { sendFile } from "./send-file.ts";
import type { Shortcuts } from "./shortcuts.ts";

export interface FilesRoutesOptions {
  readonly files: Files;
  readonly clock: Clock;
  /** Answers for what is kept beside a distribution and has another hash than its path: metadata, signatures. */
  readonly metadata: (exchange: Exchange, path: HashPath) => Serve;
  /** Answers for a path as before 2016. */
  readonly legacy: (exchange: Exchange, path: LegacyPath) => Promise<Response> | Response;
  /** A file could not be sent whole, and its client's connection was broken because of it. */
  readonly onBroken: (path: string, error: unknown) => void;
  readonly shortcuts: Shortcuts;
  readonly handOver?: HandOver;
}

/** PyPI's files, at the paths of its files host (facts/pypi.md §3). */
export function filesRoutes(app: Hono<{ Bindings: Bindings }>, options: FilesRoutesOptions): void {
  app.on(SAFE_METHODS, "/packages/*", (context) => {
    const exchange = exchangeOf(context);
    const path = parseFilePath(pathOf(exchange));
    if (path === undefined) return sendAbsent(exchange);
    if (exchange.incoming.method === "OPTIONS") return sendPreflight(exchange);
    if (path.kind === "legacy") return options.legacy(exchange, path);
    const isBeside = path.isMetadata || path.isSignature || path.isProvenance;
    const serve = isBeside ? options.metadata(exchange, path) : serveFile(path, options);
    return options.shortcuts.serve(exchange, serve);
  });
}

function pathOf({ incoming }: Exchange): string {
  return incoming.url?.split("?", 1)[0] ?? "";
}

/** Requests for a file. */
function serveFile(path: HashPath, options: FilesRoutesOptions): Serve {
  return {
    ready: (exchange) => {
      // The tag has the hash of the bytes: who names it has them, whether or not they are here.
      if (isNamed(exchange.incoming.headers["if-none-match"], fileEtag(path))) {
        return sendNotModified(exchange, path, undefined, options.clock);
      }
      const hot = options.files.hot(path);
      return hot && sendHot(exchange, path, hot, options);
    },
    later: (exchange) => serveFromDisk(exchange, path, options),
  };
}

async function serveFromDisk(
  exchange: Exchange,
  path: HashPath,
  options: FilesRoutesOptions,
): Promise<Response> {
  const { incoming } = exchange;
  let found: FoundFile;
  try {
    found = await (incoming.method === "HEAD" ? options.files.head(path) : options.files.open(path));
  } catch (error) {
    if (!(error instanceof UpstreamUnavailable)) throw error;
    return sendUnavailable(exchange, error);
  }
  if (found.kind === "absent") return sendAbsent(exchange, found);
  if (found.kind === "elsewhere") return sendElsewhere(exchange, found);
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

const heads = new HeadsOfFiles();

/** What a request asks of a file that memory has. */
interface Asked {
  readonly of: HotFile;
  readonly file: File;
  readonly selection: ReturnType<typeof select>;
  /** What of it is to be sent, if that is one piece. */
  readonly part: ByteRange;
  /** Method and part, as one word. */
  readonly word: string;
}

// A request that comes again in the same bytes is the same object (repeats.ts): to read its Range again takes as long as all
// the rest that is done here.
const asked = new WeakMap<RequestHead, Asked>();

function askedOf(exchange: PlainExchange, path: HashPath, hot: HotFile): Asked {
  const before = asked.get(exchange.incoming);
  if (before?.of === hot) return before;
  const file: File = { kind: "file", head: headOf(hot), reading: undefined, status: FILE_HIT };
  const selection = select(exchange, path, file.head);
  const part = selection.kind === "one" ? selection.range : { startAt: 0, endAt: hot.bytes };
  const word = `${exchange.incoming.method ?? ""} ${selection.kind} ${part.startAt}-${part.endAt}`;
  const now = { of: hot, file, selection, part, word };
  asked.set(exchange.incoming, now);
  return now;
}

/** Sends what memory has of a file, in one go; undefined where the disk is needed. */
function sendHot(
  exchange: PlainExchange,
  path: HashPath,
  hot: HotFile,
  { clock }: FilesRoutesOptions,
): Response | undefined {
  const { file, selection, part, word } = askedOf(exchange, path, hot);
  if (selection.kind === "not-modified") return sendNotModified(exchange, path, file, clock);
  if (selection.kind === "unsatisfiable") return sendUnsatisfiable(exchange, file);
  if (selection.kind === "several") return undefined;
  const isHead = exchange.incoming.method === "HEAD";
  const body = isHead ? undefined : hot.piece(part.startAt, part.endAt);
  if (body === undefined && !isHead) return undefined;
  const status = selection.kind === "whole" ? 200 : 206;
  const render = (): Head => new Head(status, renderFields(replyOf(exchange, path, file, selection, clock)));
  const head = heads.head(hot, word, clock, render);
  return sendRendered(exchange, ROUTE, { body, cacheStatus: FILE_HIT }, head);
}

async function answer(
  exchange: Exchange,
  path: HashPath,
  file: File,
  options: FilesRoutesOptions,
): Promise<Response> {
  const selection = select(exchange, path, file.head);
  if (selection.kind === "not-modified") return sendNotModified(exchange, path, file, options.clock);
  const handed = handOver(exchange, path, file, options);
  if (handed !== undefined) return handed;
  if (selection.kind === "unsatisfiable") return sendUnsatisfiable(exchange, file);
  return sendBody(exchange, path, file, selection, options);
}

async function sendBody(
  exchange: Exchange,
  path: HashPath,
  file: File,
  selection: Sendable,
  options: FilesRoutesOptions,
): Promise<Response> {
  const { reading } = file;
  const { pieces, ...reply } = replyOf(exchange, path, file, selection, options.clock);
  if (reading === undefined || exchange.incoming.method === "HEAD") {
    return send(exchange, ROUTE, { ...reply, body: undefined });
  }
  try {
    await sendFile(exchange, ROUTE, { ...reply, reading, pieces });
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
