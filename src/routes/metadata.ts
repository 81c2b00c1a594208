import { missed } from "../cache/cache-status.ts";
import { Unannounced, UpstreamUnavailable } from "../errors.ts";
import { PLAIN_NOT_FOUND } from "../pypi/answers.ts";
import type { HashPath } from "../pypi/file-path.ts";
import { FILE_MAX_AGE_SECONDS } from "../resources/files.ts";
import type { Metadata } from "../resources/metadata.ts";
import { offerCodings } from "./accept-encoding.ts";
import { type DocumentServing, sendNotFound, sendUnavailable, serveDocument } from "./documents.ts";
import type { Surface } from "./document-fields.ts";
import type { Exchange, Serve } from "./exchange.ts";
import { send } from "./send.ts";

export interface MetadataServing extends DocumentServing {
  readonly metadata: Metadata;
}

const FILE_CORS = ["Access-Control-Allow-Origin", "*"];

const METADATA: Surface = {
  route: "metadata",
  vary: "Accept-Encoding",
  notFound: PLAIN_NOT_FOUND,
  fields: FILE_CORS,
  cacheControl: `max-age=${FILE_MAX_AGE_SECONDS}, immutable, public`,
};

/** What is kept beside a distribution: its core metadata (PEP 658), proved; signatures, as upstream has them. */
export function serveMetadata({ incoming }: Exchange, path: HashPath, options: MetadataServing): Serve {
  const coding = offerCodings(incoming.headers["accept-encoding"], false);
  const resource = options.metadata.resource(path);
  const { ready, later } = serveDocument(METADATA, resource, { coding, filesBase: undefined }, options);
  return {
    ready,
    later: async (exchange) => {
      try {
        return await later(exchange);
      } catch (error) {
        if (!(error instanceof Unannounced)) throw error;
        return await servePassedThrough(exchange, path, options);
      }
    },
  };
}

async function servePassedThrough(
  exchange: Exchange,
  path: HashPath,
  options: MetadataServing,
): Promise<Response> {
  try {
    const passed = await options.metadata.passThrough(path);
    if (passed.kind === "absent") return sendNotFound(exchange, METADATA, passed.status);
    const { answer, body, status } = passed;
    return send(exchange, METADATA.route, {
      status: 200,
      fields: ["Content-Type", answer.contentType, "Vary", METADATA.vary, ...FILE_CORS],
      body,
      cacheStatus: status,
      date: answer.date,
    });
  } catch (error) {
    if (!(error instanceof UpstreamUnavailable)) throw error;
    return sendUnavailable(exchange, METADATA, path.filename, error, missed(error));
  }
}
