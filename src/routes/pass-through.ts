import type { Hono } from "hono";
import { LOCAL } from "../cache/cache-status.ts";
import { CORS_FIELDS, JSON_NOT_FOUND, PLAIN_NOT_FOUND } from "../pypi/answers.ts";
import { parseFilePath } from "../pypi/file-path.ts";
import { isVersion, normalizeProject } from "../pypi/names.ts";
import { qualityValues } from "../quality-values.ts";
import type { Documents } from "../resources/documents.ts";
import { offerCodings } from "./accept-encoding.ts";
import type { Surface } from "./document-fields.ts";
import { type DocumentServing, sendNotFound, serveDocument } from "./documents.ts";
import { type Bindings, type Exchange, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { type PublicBaseOptions, requestPrefix } from "./public-base.ts";
import { send, sendText } from "./send.ts";
import type { Shortcuts } from "./shortcuts.ts";

export interface PassThroughOptions extends DocumentServing {
  readonly documents: Documents;
  readonly publicBase: PublicBaseOptions;
  readonly shortcuts: Shortcuts;
}

const FEED: Surface = { route: "rss", vary: "Accept-Encoding", notFound: PLAIN_NOT_FOUND, fields: [] };
const STATS: Surface = {
  route: "stats",
  vary: "Accept, Accept-Encoding",
  notFound: PLAIN_NOT_FOUND,
  fields: [],
};

const PROVENANCE_TYPE = "application/vnd.pypi.integrity.v1+json";

/** What pypi.org has besides index and files that machines read: it goes through the cache as it is. */
export function passThroughRoutes(app: Hono<{ Bindings: Bindings }>, options: PassThroughOptions): void {
  const { documents } = options;
  const serve = (
    exchange: Exchange,
    surface: Surface,
    resource: ReturnType<Documents["project"]>,
    type?: string,
  ) => {
    const coding = offerCodings(exchange.incoming.headers["accept-encoding"], false);
    const wanted = { coding, filesBase: undefined, ...(type !== undefined && { contentType: type }) };
    return options.shortcuts.serve(exchange, serveDocument(surface, resource, wanted, options));
  };
  app.on(SAFE_METHODS, "/integrity/:project/:version/:filename/provenance", async (context) => {
    const exchange = exchangeOf(context);
    const { project: spelling, version, filename } = context.req.param();
    const project = normalizeProject(spelling);
    const surface = provenanceOf(filename);
    if (project === undefined || !isVersion(version) || !isFilename(filename))
      return sendNotFound(exchange, surface);
    const mediaType = provenanceType(exchange.incoming.headers.accept);
    if (mediaType === undefined) return sendNotAcceptable(exchange, surface);
    return await serve(exchange, surface, documents.provenance(project, version, filename), mediaType);
  });
  app.on(SAFE_METHODS, "/rss/:feed{(?:updates|packages)\\.xml}", async (context) => {
    const feed = context.req.param("feed").startsWith("updates") ? "updates" : "packages";
    return await serve(exchangeOf(context), FEED, documents.feed(feed));
  });
  app.on(SAFE_METHODS, "/rss/project/:project/releases.xml", async (context) => {
    const exchange = exchangeOf(context);
    const project = normalizeProject(context.req.param("project"));
    if (project === undefined) return sendNotFound(exchange, FEED);
    return await serve(exchange, FEED, documents.projectFeed(project));
  });
  app.on(SAFE_METHODS, "/stats", (context) => {
    const exchange = exchangeOf(context);
    const location = `${requestPrefix(exchange.incoming, options.publicBase)}/stats/`;
    return sendText(exchange, STATS.route, 301, "301 Moved Permanently\n", ["Location", location]);
  });
  app.on(SAFE_METHODS, "/stats/", async (context) => {
    const exchange = exchangeOf(context);
    const wantsJson = (exchange.incoming.headers.accept ?? "").includes("application/json");
    return await serve(exchange, STATS, documents.stats(wantsJson ? "json" : "html"));
  });
}

/** PEP 740's 404 names the file (facts/pypi.md §3). */
function provenanceOf(filename: string): Surface {
  const body = JSON.stringify({ message: `No provenance available for ${filename}` });
  return {
    route: "integrity",
    vary: "Accept, Accept-Encoding",
    notFound: isFilename(filename) ? { ...JSON_NOT_FOUND, body: Buffer.from(body) } : JSON_NOT_FOUND,
    fields: CORS_FIELDS,
  };
}

/** @returns undefined for an Accept that neither of its two media types fits */
function provenanceType(accept: string | undefined): string | undefined {
  const weights = qualityValues(accept ?? "*/*");
  const weigh = (type: string): number =>
    weights.get(type) ?? weights.get("application/*") ?? weights.get("*/*") ?? 0;
  const [own, plain] = [weigh(PROVENANCE_TYPE), weigh("application/json")];
  if (own === 0 && plain === 0) return undefined;
  return own >= plain ? PROVENANCE_TYPE : "application/json";
}

/** Whether a file of the index can have this name: as in the path of a file. */
function isFilename(filename: string): boolean {
  return parseFilePath(`/packages/aa/bb/${"0".repeat(60)}/${encodeURIComponent(filename)}`) !== undefined;
}

function sendNotAcceptable(exchange: Exchange, surface: Surface): Response {
  return send(exchange, surface.route, {
    status: 406,
    fields: ["Content-Type", "application/json", "Vary", surface.vary],
    body: Buffer.from('{"message": "Request not acceptable"}'),
    cacheStatus: LOCAL,
  });
}
