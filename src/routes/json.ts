import type { Hono } from "hono";
import type { Resource } from "../cache/cache.ts";
import { LOCAL } from "../cache/cache-status.ts";
import { CORS_FIELDS, JSON_NOT_FOUND, MOVED_PERMANENTLY } from "../pypi/answers.ts";
import { isVersion, normalizeProject } from "../pypi/names.ts";
import type { Documents } from "../resources/documents.ts";
import type { Wanted } from "../resources/representations.ts";
import { offerCodings } from "./accept-encoding.ts";
import type { Surface } from "./document-fields.ts";
import { type DocumentServing, sendNotFound, serveDocument } from "./documents.ts";
import { type Bindings, type Exchange, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { absoluteBases, type UrlBasesOptions } from "./url-bases.ts";
import { requestPrefix } from "./public-base.ts";
import { send } from "./send.ts";
import type { Shortcuts } from "./shortcuts.ts";

export interface JsonRoutesOptions extends DocumentServing, UrlBasesOptions {
  readonly documents: Documents;
  readonly shortcuts: Shortcuts;
}

const JSON_API: Surface = {
  route: "json",
  vary: "Accept-Encoding",
  notFound: JSON_NOT_FOUND,
  fields: CORS_FIELDS,
};

// pip-tools asks beside and below the index, 7.4 with a slash at the end (rule 16). `/simple/<p>/` and `/pypi/<p>` come first.
const ALIASES = [
  "/simple/pypi/:project/json",
  "/simple/pypi/:project/json/",
  "/:project/json",
  "/:project/json/",
] as const;

/** PyPI's JSON API: `/pypi/<project>/json` and `/pypi/<project>/<version>/json` (facts/pypi.md §1). */
export function jsonRoutes(app: Hono<{ Bindings: Bindings }>, options: JsonRoutesOptions): void {
  // Not pypi.org's redirect to a page for people: renovate would read that page for an index (rule 24).
  for (const page of ["/pypi/:project", "/pypi/:project/"] as const) {
    app.on(SAFE_METHODS, page, (context) => sendNotFound(exchangeOf(context), JSON_API));
  }
  for (const path of ["/pypi/:project/json", ...ALIASES] as const) {
    app.on(SAFE_METHODS, path, (context) => {
      const exchange = exchangeOf(context);
      const project = normalizeProject(context.req.param("project"));
      if (project === undefined) return sendNotFound(exchange, JSON_API);
      return serve(exchange, options.documents.project(project), options);
    });
  }
  app.on(SAFE_METHODS, "/pypi/:project/:version/json", (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    const version = context.req.param("version");
    if (project === undefined || !isVersion(version)) return sendNotFound(exchange, JSON_API);
    return serve(exchange, options.documents.release(project, version), options);
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
    // As it was spelled (facts/pypi.md §1.1): a plus of a local version may stand for itself in a path.
    const path = `/pypi/${project}/${encodeURIComponent(version).replaceAll("%2B", "+")}/json`;
    return sendMoved(exchange, `${requestPrefix(exchange.incoming, options.publicBase)}${path}`);
  });
}

function serve(exchange: Exchange, resource: Resource, options: JsonRoutesOptions) {
  const wanted = wantedBy(exchange, options);
  return options.shortcuts.serve(exchange, serveDocument(JSON_API, resource, wanted, options));
}

function wantedBy({ incoming }: Exchange, options: JsonRoutesOptions): Wanted {
  const { filesBase } = absoluteBases(incoming, options);
  return { coding: offerCodings(incoming.headers["accept-encoding"], filesBase !== undefined), filesBase };
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
