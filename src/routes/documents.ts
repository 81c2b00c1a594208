import { type Answer, type Ask, type Cache, type Resource, Unanswered } from "../cache/cache.ts";
import { type CacheStatus, LOCAL } from "../cache/cache-status.ts";
import { isNegative } from "../cache/freshness.ts";
import type { Representation } from "../cache/memory.ts";
import type { Clock } from "../clock.ts";
import type { UpstreamUnavailable } from "../errors.ts";
import { SERIAL_FIELD } from "../pypi/answers.ts";
import type { Representations, Wanted } from "../resources/representations.ts";
import { asksNoCache, isNoneMatch } from "./conditional.ts";
import { ageSeconds, freshnessFields, fieldsOfWhole, type Surface } from "./document-fields.ts";
import type { Exchange, PlainExchange, Serve } from "./exchange.ts";
import type { Head } from "./head.ts";
import { HeadsOfHits } from "./heads-of-hits.ts";
import { retryAfter } from "./retry-after.ts";
import { renderHead, send, sendRendered } from "./send.ts";

export interface DocumentServing {
  readonly cache: Cache;
  readonly representations: Representations;
  readonly clock: Clock;
}

/**
 * Requests for a document in one of its representations, from the cache's answer to the bytes that go out. Ready where
 * memory has both the answer and what is to be sent of it.
 */
export function serveDocument(
  surface: Surface,
  resource: Resource,
  wanted: Wanted,
  serving: DocumentServing,
): Serve {
  return {
    ready: (exchange) => {
      const answer = serving.cache.ready(resource, askOf(exchange, surface));
      return answer && sendReady(exchange, surface, answer, wanted, serving);
    },
    later: (exchange) => serveLater(exchange, surface, resource, wanted, serving),
  };
}

const ANY_FRESH: Ask = { noCache: false };
const NO_CACHE: Ask = { noCache: true };

function askOf({ incoming: { headers } }: PlainExchange, { cacheControl }: Surface): Ask {
  const noCache = cacheControl === undefined && asksNoCache(headers["cache-control"], headers.pragma);
  return noCache ? NO_CACHE : ANY_FRESH;
}

async function serveLater(
  exchange: Exchange,
  surface: Surface,
  resource: Resource,
  wanted: Wanted,
  serving: DocumentServing,
): Promise<Response> {
  const { cache, representations } = serving;
  try {
    return await cache.fetchFor(resource, askOf(exchange, surface), async (answer) => {
      const ready = sendReady(exchange, surface, answer, wanted, serving);
      if (ready !== undefined) return ready;
      const representation = await representations.get(answer.held, wanted);
      return representation && sendWhole(exchange, surface, answer, representation, serving);
    });
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    return sendUnavailable(exchange, surface, resource.group, error.cause, error.status);
  }
}

/** Sends what needs nothing to be made: a 404, a 304, or a representation that is kept. */
function sendReady(
  exchange: PlainExchange,
  surface: Surface,
  answer: Answer,
  wanted: Wanted,
  serving: DocumentServing,
): Response | undefined {
  const { held } = answer;
  if (isNegative(held.entry)) return sendAbsent(exchange, surface, answer, serving);
  const ready = serving.representations.ready(held, wanted);
  const ifNoneMatch = exchange.incoming.headers["if-none-match"];
  if (ifNoneMatch !== undefined && mayBeConditional(exchange)) {
    const etag = ready?.etag ?? serving.representations.etag(held, wanted);
    if (isNoneMatch(ifNoneMatch, etag)) return sendNotModified(exchange, surface, answer, etag, serving);
  }
  return ready && sendWhole(exchange, surface, answer, ready, serving);
}

/** RFC 9110 §13.2.1: preconditions are for methods that select a representation. */
export function mayBeConditional({ incoming }: PlainExchange): boolean {
  return incoming.method === "GET" || incoming.method === "HEAD";
}

/** The surface's own 404, for what upstream need not be asked about. */
export function sendNotFound(
  exchange: PlainExchange,
  surface: Surface,
  cacheStatus: CacheStatus = LOCAL,
): Response {
  const { contentType, body } = surface.notFound;
  const fields = ["Content-Type", contentType, ...surface.fields];
  return send(exchange, surface.route, { status: 404, fields, body, cacheStatus });
}

const wholes = new HeadsOfHits();
const notModifieds = new HeadsOfHits();
const absents = new HeadsOfHits();

function sendWhole(
  exchange: PlainExchange,
  surface: Surface,
  answer: Answer,
  representation: Representation,
  { clock }: DocumentServing,
): Response {
  const { body } = representation;
  const reply = { status: 200, body, cacheStatus: answer.status, date: answer.held.entry.date };
  const render = (): Head =>
    renderHead({ ...reply, fields: fieldsOfWhole(exchange, surface, answer, representation, clock) });
  const isOptions = exchange.incoming.method === "OPTIONS";
  const head = isOptions ? render() : wholes.head(representation, surface, answer, clock, render);
  return sendRendered(exchange, surface.route, reply, head);
}

/** A 304 (RFC 9110 §15.4.5), with all that clients take from one. */
export function sendNotModified(
  exchange: PlainExchange,
  surface: Surface,
  answer: Answer,
  etag: string,
  serving: DocumentServing,
): Response {
  const { entry } = answer.held;
  const reply = { status: 304, body: undefined, cacheStatus: answer.status, date: entry.date };
  const render = (): Head => {
    const serial = entry.generation > 0 ? [SERIAL_FIELD, String(entry.generation)] : [];
    const validators = ["ETag", etag, "Vary", surface.vary, ...serial, ...surface.fields];
    return renderHead({
      ...reply,
      fields: [...validators, ...freshnessFields(surface, answer, serving.clock)],
    });
  };
  const head = notModifieds.head(answer.held, surface, answer, serving.clock, render, etag);
  return sendRendered(exchange, surface.route, reply, head);
}

/** Upstream's 404 or 410. */
export function sendAbsent(
  exchange: PlainExchange,
  surface: Surface,
  answer: Answer,
  serving: DocumentServing,
): Response {
  const { entry } = answer.held;
  const { contentType, body } = surface.notFound;
  const reply = { status: entry.status, body, cacheStatus: answer.status, date: entry.date };
  const render = (): Head => {
    const age = String(ageSeconds(answer, serving.clock));
    return renderHead({ ...reply, fields: ["Content-Type", contentType, ...surface.fields, "Age", age] });
  };
  const head = absents.head(answer.held, surface, answer, serving.clock, render);
  return sendRendered(exchange, surface.route, reply, head);
}

/** Upstream's trouble and nothing held: never a 404, never a 504 (clients.md rules 5 and 6). */
export function sendUnavailable(
  exchange: PlainExchange,
  surface: Surface,
  what: string,
  failure: UpstreamUnavailable,
  cacheStatus: CacheStatus,
): Response {
  const body = {
    message: `larder holds no answer for ${what} and could not get one from upstream`,
    cause: failure.failure,
    detail: failure.message,
  };
  const retry = ["Retry-After", retryAfter(failure), "Cache-Control", "no-store"];
  return send(exchange, surface.route, {
    status: 503,
    fields: ["Content-Type", "application/json", ...retry, ...surface.fields],
    body: Buffer.from(`${JSON.stringify(body)}\n`),
    cacheStatus,
  });
}
