import type { Coding, Entry } from "./store.ts";

/** The entry as both stores keep it: one JSON object. Its group and name are in it, to be checked when read. */
export function encodeEntry(entry: Entry): string {
  return JSON.stringify(entry);
}

/**
 * The entry in a JSON text that a store held for `group` and `name`.
 *
 * @returns undefined where the text is no entry of these: written by other hands, or a key that only looks the same
 * (lone surrogates become U+FFFD in SQLite and Redis alike). Then it is a miss.
 */
export function decodeEntry(text: string, group: string, name: string): Entry | undefined {
  const fields = parseObject(text);
  if (fields?.["group"] !== group || fields["name"] !== name) return undefined;
  const {
    generation,
    status,
    fetchedAt,
    confirmedAt,
    etag,
    date,
    contentType,
    coding,
    digest,
    bytes,
    aliasOf,
    fence = 0,
  } = fields;
  if (
    !isCount(generation) ||
    !isStatus(status) ||
    !isCount(fetchedAt) ||
    !isCount(confirmedAt) ||
    !isText(date) ||
    !isText(contentType) ||
    !isCoding(coding) ||
    !isText(digest) ||
    !isCount(bytes) ||
    !(etag === undefined || isText(etag)) ||
    !(aliasOf === undefined || isText(aliasOf)) ||
    !isCount(fence)
  ) {
    return undefined;
  }
  return {
    group,
    name,
    generation,
    status,
    fetchedAt,
    confirmedAt,
    etag,
    date,
    contentType,
    coding,
    digest,
    bytes,
    aliasOf,
    fence,
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // not JSON, so no entry: the caller is told by the undefined
  }
}

const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value) && value >= 0;
const isStatus = (value: unknown): value is Entry["status"] =>
  value === 200 || value === 404 || value === 410;
const isCoding = (value: unknown): value is Coding => value === "gzip" || value === "identity";
