import { missed } from "../cache/cache-status.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { PLAIN_NOT_FOUND } from "../pypi/answers.ts";
import { findReleaseFile } from "../pypi/file-entries.ts";
import type { LegacyPath } from "../pypi/file-path.ts";
import { normalizeProject } from "../pypi/names.ts";
import type { Documents } from "../resources/documents.ts";
import { readDocument } from "../resources/read-document.ts";
import { type DocumentServing, sendNotFound, sendUnavailable } from "./documents.ts";
import type { Surface } from "./document-fields.ts";
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
  notFound: PLAIN_NOT_FOUND,
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
  try {
    const { answer, bytes } = await readDocument(options.documents.project(project), options);
    const cacheStatus = answer.status;
    const url = bytes === undefined ? undefined : await findReleaseFile(bytes, path);
    const at = url?.indexOf("/packages/") ?? -1;
    if (url === undefined || at < 0) return sendNotFound(exchange, LEGACY, cacheStatus);
    return send(exchange, LEGACY.route, {
      status: 302,
      fields: [
        "Location",
        requestPrefix(exchange.incoming, options.publicBase) + url.slice(at),
        "Cache-Control",
        "max-age=604800, public",
      ],
      body: Buffer.alloc(0),
      cacheStatus,
    });
  } catch (error) {
    if (!(error instanceof UpstreamUnavailable)) throw error;
    return sendUnavailable(exchange, LEGACY, project, error, missed(error));
  }
}
