import { pipeline } from "node:stream/promises";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import { type Answer, Unanswered } from "../cache/cache.ts";
import { renderCacheStatus } from "../cache/cache-status.ts";
import { decoded } from "../resources/prove-ends.ts";
import type { Representation } from "../cache/memory.ts";
import type { Wanted } from "../resources/representations.ts";
import { offerCodings } from "./accept-encoding.ts";
import { asksNoCache, isNoneMatch } from "./conditional.ts";
import { mayBeConditional, sendAbsent, sendNotModified, sendUnavailable } from "./documents.ts";
import { fieldsOfWhole } from "./document-fields.ts";
import { type Bindings, type Exchange, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { send } from "./send.ts";
import { isJson, negotiated, SIMPLE, type SimpleRoutesOptions } from "./simple.ts";

/**
 * `/simple/`: every project there is, 40 MB. It goes out as it is stored, or decoded piece by piece; nothing but its
 * coded form is ever held, and nothing else needs it.
 */
export function rootRoutes(app: Hono<{ Bindings: Bindings }>, options: SimpleRoutesOptions): void {
  app.on(SAFE_METHODS, "/simple/", async (context) => {
    const exchange = exchangeOf(context);
    return await serveRoot(exchange, options);
  });
}

async function serveRoot(exchange: Exchange, options: SimpleRoutesOptions): Promise<Response> {
  const { headers } = exchange.incoming;
  const contentType = negotiated(exchange);
  const resource = options.documents.root(isJson(contentType) ? "json" : "html");
  const noCache = asksNoCache(headers["cache-control"], headers.pragma);
  const coding = offerCodings(headers["accept-encoding"], false);
  const wanted = { coding, filesBase: undefined, contentType };
  try {
    return await options.cache.fetchFor(resource, { noCache }, (answer) =>
      sendRoot(exchange, answer, wanted, options),
    );
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    return sendUnavailable(exchange, SIMPLE, resource.group, error.cause, error.status);
  }
}

/** @returns undefined where the store has lost the body */
async function sendRoot(
  exchange: Exchange,
  answer: Answer,
  wanted: Wanted,
  options: SimpleRoutesOptions,
): Promise<Response | undefined> {
  const { held } = answer;
  options.cache.confirmSince(held.entry.confirmedAt);
  if (held.entry.status !== 200) return sendAbsent(exchange, SIMPLE, answer, options);
  const etag = options.representations.etag(held, wanted);
  if (mayBeConditional(exchange) && isNoneMatch(exchange.incoming.headers["if-none-match"], etag))
    return sendNotModified(exchange, SIMPLE, answer, etag, options);
  const stored = await options.representations.get(held, { ...wanted, coding: held.entry.coding });
  if (stored === undefined) return undefined;
  return wanted.coding === held.entry.coding
    ? sendStored(exchange, answer, stored, options)
    : await sendDecoded(exchange, answer, stored, etag, options);
}

function sendStored(
  exchange: Exchange,
  answer: Answer,
  stored: Representation,
  options: SimpleRoutesOptions,
): Response {
  return send(exchange, SIMPLE.route, {
    status: 200,
    fields: fieldsOfWhole(exchange, SIMPLE, answer, stored, options.clock),
    body: stored.body,
    cacheStatus: answer.status,
    date: answer.held.entry.date,
  });
}

async function sendDecoded(
  exchange: Exchange,
  answer: Answer,
  stored: Representation,
  etag: string,
  options: SimpleRoutesOptions,
): Promise<Response> {
  const { incoming, outgoing } = exchange;
  const { entry } = answer.held;
  outgoing.outcome.route = SIMPLE.route;
  outgoing.outcome.cacheStatus = answer.status;
  const body = bytesOf(stored);
  const identity = { ...stored, etag, fields: withoutCoding(stored.fields) };
  outgoing.writeHead(200, [
    ...fieldsOfWhole(exchange, SIMPLE, answer, identity, options.clock),
    "Content-Length",
    String(decodedLength(body, entry.coding)),
    "Date",
    entry.date,
    "Cache-Status",
    renderCacheStatus(answer.status),
  ]);
  if (incoming.method === "HEAD") outgoing.end();
  // A client that goes away ends the stream; there is nothing else to tell anybody.
  else await pipeline(decoded(body, entry.coding), outgoing).catch(() => outgoing.destroy());
  return RESPONSE_ALREADY_SENT;
}

function bytesOf({ body }: Representation): Buffer {
  return typeof body === "string" ? Buffer.from(body, "latin1") : body;
}

/** RFC 1952 §2.3.1: ISIZE, proved true when the body was taken (prove-ends.ts). */
function decodedLength(body: Buffer, coding: "gzip" | "identity"): number {
  return coding === "gzip" ? body.readUInt32LE(body.length - 4) : body.length;
}

function withoutCoding(fields: readonly string[]): string[] {
  const at = fields.indexOf("Content-Encoding");
  return at < 0 ? [...fields] : [...fields.slice(0, at), ...fields.slice(at + 2)];
}
