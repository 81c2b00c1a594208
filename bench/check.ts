import { fetchRaw } from "../test/support/client.ts";
import type { Row } from "./rows.ts";
import type { Server, ServerKind } from "./servers/launch.ts";

/** Where a server is to be loaded for a row, or why it is left out of it. */
export type Checked =
  { readonly url: string; readonly headers: Row["headers"] } | { readonly skipped: string };

/**
 * Asks for a row until the answer is in the cache, and looks whether it is the answer that the row is about: a server
 * that answers something else, and be it faster, is not measured.
 */
export async function check(
  server: Server,
  { rewrites, isIdentityOnly = false }: ServerKind,
  origin: string,
  row: Row,
): Promise<Checked> {
  const path = server.pathOf(row.path);
  if (path === undefined) return { skipped: "has no such path" };
  const headers: Record<string, string> = { ...row.headers };
  if (row.status === 304) {
    const { headers: told } = await fetchRaw(server.url, path, { headers });
    if (told.etag === undefined) return { skipped: "no ETag" };
    headers["If-None-Match"] = told.etag;
  }
  await fetchRaw(server.url, path, { headers });
  const answer = await fetchRaw(server.url, path, { headers });
  if (answer.status !== row.status) return { skipped: `answers ${answer.status}` };
  const coding = answer.headers["content-encoding"] ?? "identity";
  const wanted = isIdentityOnly ? "identity" : row.coding;
  if (row.coding !== undefined && coding !== wanted) return { skipped: `sends ${coding}` };
  if (answer.decoded.length < row.bytes) return { skipped: `sends ${answer.decoded.length} bytes` };
  if (row.hasUrls === true && rewrites && answer.decoded.includes(`${origin}/packages/`))
    return { skipped: "leaves file URLs as they are" };
  return { url: `${server.url}${path}`, headers };
}
