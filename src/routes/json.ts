import type { Hono } from "hono";
import { LOCAL } from "../cache/cache-status.ts";
import { JSON_NOT_FOUND, MOVED_PERMANENTLY } from "../pypi/answers.ts";
import { isVersion, normalizeProject } from "../pypi/names.ts";
import type { Documents } from "../resources/documents.ts";
import type { Wanted } from "../resources/representations.ts";
import { negotiateCoding } from "./accept-encoding.ts";
import { type DocumentServing, sendNotFound, serveDocument, type Surface } from "./documents.ts";
import { type Bindings, type Exchange, exchangeOf } from "./exchange.ts";
import { type PublicBaseOptions, requestPrefix } from "./public-base.ts";
import { send } from "./send.ts";

export interface JsonRoutesOptions extends DocumentServing {
  readonly documents: Documents;
  /** Where file URLs shall point now; undefined leaves them as upstream wrote them. */
  readonly filesBase: () => string | undefined;
  readonly publicBase: PublicBaseOptions;
}

const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

const JSON_API: Surface = {
  route: "json",
  vary: "Accept-Encoding",
  notFound: { contentType: "application/json", body: JSON_NOT_FOUND },
};

/** PyPI's JSON API: `/pypi/<project>/json` and `/pypi/<project>/<version>/json` (facts/pypi.md §1). */
export function jsonRoutes(app: Hono<{ Bindings: Bindings }>, options: JsonRoutesOptions): void {
  app.on(SAFE_METHODS, "/pypi/:project/json", async (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    if (project === undefined) return sendNotFound(exchange, JSON_API);
    return await serveDocument(
      exchange,
      JSON_API,
      options.documents.project(project),
      wantedBy(exchange, options),
      options,
    );
  });
  app.on(SAFE_METHODS, "/pypi/:project/:version/json", async (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    const version = context.req.param("version");
    if (project === undefined || !isVersion(version)) return sendNotFound(exchange, JSON_API);
    const resource = options.documents.release(project, version);
    return await serveDocument(exchange, JSON_API, resource, wantedBy(exchange, options), options);
  });
  app.on(SAFE_METHODS, "/pypi/:project/json/", (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    if (project === undefined) return sendNotFound(exchange, JSON_API);
    return sendMoved(
      exchange,
      `${requestPrefix(exchange.incoming, options.publicBase)}/pypi/${project}/json`,
    );
  });
  app.on(SAFE_METHODS, "/pypi/:project/:version/json/", (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    const version = context.req.param("version");
    if (project === undefined || !isVersion(version)) return sendNotFound(exchange, JSON_API);
    const path = `/pypi/${project}/${encodeURIComponent(version)}/json`;
    return sendMoved(exchange, `${requestPrefix(exchange.incoming, options.publicBase)}${path}`);
  });
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

/** The edge's slash redirect: path alone, so that it holds behind any name. */
function sendMoved(exchange: Exchange, location: string): Response {
  return send(exchange, JSON_API.route, {
    status: 301,
    fields: ["Content-Type", "text/html; charset=UTF-8", "Location", location],
    body: MOVED_PERMANENTLY,
    cacheStatus: LOCAL,
  });
}
