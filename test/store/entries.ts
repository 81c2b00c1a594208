import { createHash } from "node:crypto";
import type { Change, Entry, Head } from "../../src/store/store.ts";

/** An instant that the entries of tests are confirmed at, unless they say otherwise. */
export const T0 = Date.UTC(2026, 0, 1);

/** The hex SHA-256 of a body: its digest. */
export function digestOf(body: Buffer): string {
  return createHash("sha256").update(body).digest("hex");
}

/** A head of the given generation. */
export function headOf(generation: number, more: Partial<Head> = {}): Head {
  return { generation, advancedAt: T0, confirmedAt: T0, invalidatedAt: 0, lowerSince: 0, ...more };
}

/** An entry for a body; `body` undefined makes a negative one. */
export function entryOf(group: string, name: string, generation: number, body: Buffer | undefined): Entry {
  return {
    group,
    name,
    generation,
    status: body === undefined ? 404 : 200,
    fetchedAt: T0,
    confirmedAt: T0,
    etag: body === undefined ? undefined : `"${digestOf(body).slice(0, 22)}"`,
    date: new Date(T0).toUTCString(),
    contentType: "application/json",
    coding: "gzip",
    digest: body === undefined ? "" : digestOf(body),
    bytes: body?.length ?? 0,
    aliasOf: undefined,
    fence: 0,
  };
}

/** A change that stores one body, decided on `basis`. */
export function changeOf(
  group: string,
  name: string,
  generation: number,
  body: Buffer,
  basis = generation,
): Change {
  return { group, head: headOf(generation), basis, entry: entryOf(group, name, generation, body), body };
}
