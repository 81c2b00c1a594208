import { parseHttpDate } from "../http-date.ts";

/**
 * Whether If-None-Match names this validator (RFC 9110 §13.1.2, weak comparison): then 304.
 * @param etag strong, quotes included
 */
export function isNoneMatch(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header === etag) return true;
  if (header.trim() === "*") return true;
  // Entity tags hold no quotes, but may hold commas: split on what stands between two of them.
  return (header.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => tag.replace(/^W\//, "") === etag);
}

/** Whether the request asks for validation (RFC 9111 §5.2.1.4). `max-age=0` does not: every pip up to 26.1 sends it. */
export function asksNoCache(cacheControl: string | undefined, pragma: string | undefined): boolean {
  if (cacheControl !== undefined) return /(?:^|[,\s])no-cache(?:$|[,\s;])/i.test(cacheControl);
  return pragma !== undefined && /no-cache/i.test(pragma);
}

/**
 * Whether an If-Modified-Since lets the answer be sent (RFC 9110 §13.1.3): it is later than that, or one of the two
 * is no date. For a request without If-None-Match.
 *
 * @param lastModified an HTTP-date, undefined where upstream sent none
 */
export function isModifiedSince(header: string | undefined, lastModified: string | undefined): boolean {
  if (header === undefined || lastModified === undefined) return true;
  const [since, modified] = [parseHttpDate(header), parseHttpDate(lastModified)];
  return since === undefined || modified === undefined || modified > since;
}
