import type { DocumentView } from "./json-document.ts";
import { JSON_TEXT } from "./json-text.ts";
import { moveUrls, type UrlMove } from "./url-moves.ts";

/**
 * The move of the files themselves: `/packages/...` of the files host (facts/pypi.md §3).
 *
 * @param from the files host as upstream writes it, without a slash at its end
 * @param to what stands in its place, likewise
 */
export function filesMove(from: string, to: string): UrlMove {
  return { from, path: "/packages/", to };
}

/**
 * The move of the files' attestations: `/integrity/...` of the index host (PEP 740; facts/pypi.md §3).
 *
 * @param from the index host as upstream writes it, without a slash at its end
 * @param to what stands in its place, likewise
 */
export function provenanceMove(from: string, to: string): UrlMove {
  return { from, path: "/integrity/", to };
}

/**
 * Points the file URLs of a document of the JSON API elsewhere. See `moveUrls`.
 *
 * @param view what `scanDocument` said of these bytes
 * @param from scheme and authority of the files host, ASCII, without a slash at its end; only URLs that go on with
 *   `/packages/` are rewritten, however they are escaped
 * @param to what stands in its place, without a slash at its end
 */
export function rewriteFileUrls(
  bytes: Buffer,
  view: DocumentView,
  from: string,
  to: string,
): Buffer | Promise<Buffer> {
  return moveUrls(bytes, view.fileUrls, [filesMove(from, to)], JSON_TEXT);
}
