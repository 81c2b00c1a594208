import type { Hono } from "hono";
import { LOCAL } from "../cache/cache-status.ts";
import { CORS_FIELDS, PLAIN_NOT_FOUND } from "../pypi/answers.ts";
import { normalizeProject } from "../pypi/names.ts";
import { negotiateSimple, readFormat, type SimpleMediaType } from "../pypi/simple-accept.ts";
import type { Documents } from "../resources/documents.ts";
import { offerCodings } from "./accept-encoding.ts";
import type { Surface } from "./document-fields.ts";
import { type DocumentServing, sendNotFound, serveDocument } from "./documents.ts";
import { type Bindings, type Exchange, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { type UrlBasesOptions, basesFromPage } from "./url-bases.ts";
import { requestPrefix } from "./public-base.ts";
import { send } from "./send.ts";
import type { Shortcuts } from "./shortcuts.ts";

export interface SimpleRoutesOptions extends DocumentServing, UrlBasesOptions {
  readonly documents: Documents;
  readonly shortcuts: Shortcuts;
}

/** The Simple API's own ways. */
export const SIMPLE: Surface = {
  route: "simple",
  vary: "Accept, Accept-Encoding",
  notFound: PLAIN_NOT_FOUND,
  fields: CORS_FIELDS,
};

/** The Simple API's projects: PEP 503 in HTML, PEP 691 in JSON (facts/pypi.md §2). */
export function simpleRoutes(app: Hono<{ Bindings: Bindings }>, options: SimpleRoutesOptions): void {
  app.on(SAFE_METHODS, "/simple", (context) => redirectTo(exchangeOf(context), "/simple/", options));
  // Whether the project exists is not asked: PyPI appends the slash to anything (trap 14).
  app.on(SAFE_METHODS, "/simple/:project", (context) => {
    const project = encodeURIComponent(context.req.param("project"));
    return redirectTo(exchangeOf(context), `/simple/${project}/`, options);
  });
  app.on(SAFE_METHODS, "/simple/:project/", (context) => {
    const exchange = exchangeOf(context);
    const spelling = context.req.param("project");
    const project = normalizeProject(spelling);
    if (project === undefined) return sendNotFound(exchange, SIMPLE);
    if (project !== spelling) return redirectTo(exchange, `/simple/${project}/`, options);
    return servePage(exchange, project, options);
  });
}

function servePage(exchange: Exchange, project: string, options: SimpleRoutesOptions) {
  const mediaType = negotiated(exchange);
  const resource = options.documents.simple(project, isJson(mediaType) ? "json" : "html");
  const bases = basesFromPage(exchange.incoming, options, exchange.outgoing.isPathAsSent);
  const coding = offerCodings(exchange.incoming.headers["accept-encoding"], bases.filesBase !== undefined);
  // text/html and v1+html are one stored page, served under the name that was asked for (facts/pypi.md §2.1).
  const wanted = { coding, contentType: mediaType, ...bases };
  return options.shortcuts.serve(exchange, serveDocument(SIMPLE, resource, wanted, options));
}

/** The media type of a Simple answer, by Accept and `?format=`. */
export function negotiated({ incoming }: Exchange): SimpleMediaType {
  const query = incoming.url?.split("?", 2)[1] ?? "";
  return negotiateSimple(incoming.headers.accept, readFormat(query));
}

/** Whether a media type is the Simple API's JSON. */
export function isJson(mediaType: SimpleMediaType): boolean {
  return mediaType.endsWith("+json");
}

/** By path alone, and inside the prefix that larder is reached under (rule 18). */
function redirectTo(exchange: Exchange, path: string, { publicBase }: SimpleRoutesOptions): Response {
  return send(exchange, SIMPLE.route, {
    status: 301,
    fields: [
      "Location",
      `${requestPrefix(exchange.incoming, publicBase)}${path}`,
      "Vary",
      SIMPLE.vary,
      ...CORS_FIELDS,
    ],
    body: Buffer.alloc(0),
    cacheStatus: LOCAL,
  });
}
