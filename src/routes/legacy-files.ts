import { Unanswered } from "../cache/cache.ts";
import { LOCAL } from "../cache/cache-status.ts";
import { isNegative } from "../cache/freshness.ts";
import { findReleaseFile } from "../pypi/file-entries.ts";
import type { LegacyPath } from "../pypi/file-path.ts";
import { normalizeProject } from "../pypi/names.ts";
import type { Documents } from "../resources/documents.ts";
import { type DocumentServing, sendNotFound, sendUnavailable, type Surface } from "./documents.ts";
import type { Exchange } from "./exchange.ts";
import { type PublicBaseOptions, requestPrefix } from "./public-base.ts";
import { send } from "./send.ts";

export interface LegacyFilesOptions extends DocumentServing {
  readonly documents: Documents;
  readonly publicBase: PublicBaseOptions;
}

const LEGACY: Surface = {
  route: "legacy-file",
  vary: "Accept-Encoding",
  notFound: { contentType: "text/plain; charset=UTF-8", body: Buffer.from("404 Not Found") },
  fields: [],
};

/** A path as before 2016: to where the file is now, as PyPI's redirector finds it (facts/pypi.md §3, Conveyor). */
export async function redirectLegacy(
  exchange: Exchange,
  path: LegacyPath,
  options: LegacyFilesOptions,
): Promise<Response> {
  const project = normalizeProject(path.project);
  if (project === undefined) return sendNotFound(exchange, LEGACY);
  const resource = options.documents.project(project);
  try {
    const { held } = await options.cache.fetch(resource, { noCache: false });
    const document = isNegative(held.entry) ? undefined : await options.representations.decoded(held);
    if (document === undefined) return sendNotFound(exchange, LEGACY);
    const url = await findReleaseFile(document, path);
    const at = url?.indexOf("/packages/") ?? -1;
    if (url === undefined || at < 0) return sendNotFound(exchange, LEGACY);
    return send(exchange, LEGACY.route, {
      status: 302,
      fields: [
        "Location",
        requestPrefix(exchange.incoming, options.publicBase) + url.slice(at),
        "Cache-Control",
        "max-age=604800, public",
      ],
      body: Buffer.alloc(0),
      cacheStatus: LOCAL,
    });
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    return sendUnavailable(exchange, LEGACY, project, error.cause, error.status);
  }
}
