import { filesMove } from "../../src/pypi/file-urls.ts";
import { HTML_TEXT } from "../../src/pypi/html-text.ts";
import type { DocumentView } from "../../src/pypi/json-document.ts";
import { JSON_TEXT } from "../../src/pypi/json-text.ts";
import type { SimpleHtmlView } from "../../src/pypi/simple-html.ts";
import type { SimpleJsonView } from "../../src/pypi/simple-json.ts";
import { moveUrls, type UrlMove } from "../../src/pypi/url-moves.ts";

type Rewritten = Buffer | Promise<Buffer>;

// What resources/representations.ts does with each kind of document.

/** Points the file URLs of a document of the JSON API elsewhere. */
export function rewriteFileUrls(bytes: Buffer, view: DocumentView, from: string, to: string): Rewritten {
  return moveUrls(bytes, view.fileUrls, [filesMove(from, to)], JSON_TEXT);
}

/** Points the URLs of a page in JSON elsewhere. */
export function rewriteSimpleJson(bytes: Buffer, view: SimpleJsonView, moves: readonly UrlMove[]): Rewritten {
  return moveUrls(bytes, view.urls, moves, JSON_TEXT);
}

/** Points the URLs of a page in HTML elsewhere. */
export function rewriteSimpleHtml(bytes: Buffer, view: SimpleHtmlView, moves: readonly UrlMove[]): Rewritten {
  return moveUrls(bytes, view.urls, moves, HTML_TEXT);
}
