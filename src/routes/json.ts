import type { Hono } from "hono";
import { type Answer, type Cache, type Resource, Unanswered } from "../cache/cache.ts";
import { type CacheStatus, LOCAL } from "../cache/cache-status.ts";
import { ageMs, isNegative } from "../cache/freshness.ts";
import type { Held, Representation } from "../cache/memory.ts";
import type { Clock } from "../clock.ts";
import { CORS_FIELDS, JSON_NOT_FOUND, MOVED_PERMANENTLY, SERIAL_FIELD } from "../pypi/answers.ts";
import { isVersion, normalizeProject } from "../pypi/names.ts";
import type { Documents } from "../resources/documents.ts";
import type { Representations, Wanted } from "../resources/representations.ts";
import { negotiateCoding } from "./accept-encoding.ts";
import { asksNoCache, isNoneMatch } from "./conditional.ts";
import { type Bindings, type Exchange, exchangeOf } from "./exchange.ts";
import { type PublicBaseOptions, requestPrefix } from "./public-base.ts";
import { send } from "./send.ts";

export interface JsonRoutesOptions {
  readonly cache: Cache;
  readonly documents: Documents;
  readonly representations: Representations;
  readonly clock: Clock;
  /** Where file URLs shall point now; undefined leaves them as upstream wrote them. */
  readonly filesBase: () => string | undefined;
  readonly publicBase: PublicBaseOptions;
}

const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

/** PyPI's JSON API: `/pypi/<project>/json` and `/pypi/<project>/<version>/json` (facts/pypi.md §1). */
export function jsonRoutes(app: Hono<{ Bindings: Bindings }>, options: JsonRoutesOptions): void {
  app.on(SAFE_METHODS, "/pypi/:project/json", async (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    if (project === undefined) return sendNotFound(exchange, LOCAL);
    return await serve(exchange, options.documents.project(project), options);
  });
  app.on(SAFE_METHODS, "/pypi/:project/:version/json", async (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    const version = context.req.param("version");
    if (project === undefined || !isVersion(version)) return sendNotFound(exchange, LOCAL);
    return await serve(exchange, options.documents.release(project, version), options);
  });
  app.on(SAFE_METHODS, "/pypi/:project/json/", (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    if (project === undefined) return sendNotFound(exchange, LOCAL);
    return sendMoved(
      exchange,
      `${requestPrefix(exchange.incoming, options.publicBase)}/pypi/${project}/json`,
    );
  });
  app.on(SAFE_METHODS, "/pypi/:project/:version/json/", (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    const version = context.req.param("version");
    if (project === undefined || !isVersion(version)) return sendNotFound(exchange, LOCAL);
    const path = `/pypi/${project}/${encodeURIComponent(version)}/json`;
    return sendMoved(exchange, `${requestPrefix(exchange.incoming, options.publicBase)}${path}`);
  });
}

/** One request for a document, from the cache's answer to the bytes that go out. */
async function serve(exchange: Exchange, resource: Resource, options: JsonRoutesOptions): Promise<Response> {
  const { headers } = exchange.incoming;
  const noCache = asksNoCache(headers["cache-control"], headers.pragma);
  const wanted = wantedBy(exchange, options);
  let lostDigest: string | undefined;
  for (;;) {
    let answer: Answer;
    try {
      answer = await options.cache.fetch(resource, {
        noCache,
        ...(lostDigest !== undefined && { lostDigest }),
      });
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      return sendUnavailable(exchange, resource, error);
    }
    const { held, status } = answer;
    if (isNegative(held.entry)) return sendAbsent(exchange, answer, options);
    const etag = options.representations.etag(held, wanted);
    if (isNoneMatch(headers["if-none-match"], etag)) return sendNotModified(exchange, answer, etag, options);
    const representation = await options.representations.get(held, wanted);
    if (representation !== undefined)
      return sendDocument(exchange, held, status, representation, answer, options);
    // The store has the entry but no longer its body (evicted, or a disk that lost it): that is a miss.
    lostDigest = held.entry.digest;
  }
}

function wantedBy(exchange: Exchange, options: JsonRoutesOptions): Wanted {
  const filesBase = options.filesBase();
  // What is rewritten must be encoded anew, and zstd costs a seventh of gzip; what is not goes out as it is stored.
  const coding = negotiateCoding(
    exchange.incoming.headers["accept-encoding"],
    filesBase === undefined ? ["gzip"] : ["zstd", "gzip"],
  );
  return { coding, filesBase };
}

function sendDocument(
  exchange: Exchange,
  held: Held,
  status: CacheStatus,
  representation: Representation,
  answer: Answer,
  options: JsonRoutesOptions,
): Response {
  // PyPI's edge answers OPTIONS with the document and CORS, but without a validator (facts/pypi.md §1.6).
  const validator = exchange.incoming.method === "OPTIONS" ? [] : ["ETag", representation.etag];
  return send(exchange, "json", {
    status: 200,
    fields: [...representation.fields, ...validator, ...freshnessFields(answer, options)],
    body: representation.body,
    cacheStatus: status,
    date: held.entry.date,
  });
}

function sendNotModified(
  exchange: Exchange,
  answer: Answer,
  etag: string,
  options: JsonRoutesOptions,
): Response {
  const { entry } = answer.held;
  const serial = entry.generation > 0 ? [SERIAL_FIELD, String(entry.generation)] : [];
  return send(exchange, "json", {
    status: 304,
    fields: [
      "ETag",
      etag,
      "Vary",
      "Accept-Encoding",
      ...serial,
      ...CORS_FIELDS,
      ...freshnessFields(answer, options),
    ],
    body: undefined,
    cacheStatus: answer.status,
    date: entry.date,
  });
}

function sendAbsent(exchange: Exchange, answer: Answer, options: JsonRoutesOptions): Response {
  const { entry } = answer.held;
  return send(exchange, "json", {
    status: entry.status,
    fields: [...NOT_FOUND_FIELDS, "Age", age(answer, options)],
    body: JSON_NOT_FOUND,
    cacheStatus: answer.status,
    date: entry.date,
  });
}

const NOT_FOUND_FIELDS = ["Content-Type", "application/json", ...CORS_FIELDS];

function sendNotFound(exchange: Exchange, cacheStatus: CacheStatus): Response {
  return send(exchange, "json", { status: 404, fields: NOT_FOUND_FIELDS, body: JSON_NOT_FOUND, cacheStatus });
}

function sendMoved(exchange: Exchange, location: string): Response {
  return send(exchange, "json", {
    status: 301,
    fields: ["Content-Type", "text/html; charset=UTF-8", "Location", location],
    body: MOVED_PERMANENTLY,
    cacheStatus: LOCAL,
  });
}

// Long enough not to hammer, short enough that a build goes on when PyPI does (pip waits it out, five times).
const RETRY_AFTER_SECONDS = 5;

/** Upstream's trouble and nothing held: never a 404, never a 504 (clients.md rules 5 and 6). */
function sendUnavailable(exchange: Exchange, resource: Resource, { cause, status }: Unanswered): Response {
  const seconds =
    cause.retryAfterMs === undefined ? RETRY_AFTER_SECONDS : Math.ceil(cause.retryAfterMs / 1000);
  const body = {
    message: `larder holds no answer for ${resource.group} and could not get one from upstream`,
    cause: cause.failure,
    detail: cause.message,
  };
  const retry = ["Retry-After", String(Math.max(1, seconds)), "Cache-Control", "no-store"];
  return send(exchange, "json", {
    status: 503,
    fields: ["Content-Type", "application/json", ...retry, ...CORS_FIELDS],
    body: Buffer.from(`${JSON.stringify(body)}\n`),
    cacheStatus: status,
  });
}

/**
 * What a client may still do with the answer. `max-age` is what is left, not the whole lifetime: pip, poetry and pdm
 * count from `Date`, uv from `Age`, others from when it came, and none of them may hold it for longer than larder would.
 */
function freshnessFields(answer: Answer, options: JsonRoutesOptions): string[] {
  const leftMs = options.cache.remainingMs(answer.held, answer.head);
  const maxAge = Math.max(0, Math.floor(leftMs / 1000));
  return ["Cache-Control", `max-age=${maxAge}, public`, "Age", age(answer, options)];
}

function age(answer: Answer, options: JsonRoutesOptions): string {
  return String(Math.floor(ageMs(answer.held.entry, options.clock.now()) / 1000));
}
