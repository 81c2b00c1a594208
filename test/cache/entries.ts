import { NO_HEAD } from "../../src/cache/settle.ts";
import type { Entry, Head } from "../../src/store/store.ts";

/** An entry of the project `demo`, confirmed at 0, with what a test changes of it. */
export function entryWith(changes: Partial<Entry> = {}): Entry {
  return {
    group: "demo",
    name: "json",
    generation: 10,
    status: 200,
    fetchedAt: 0,
    confirmedAt: 0,
    etag: '"upstream"',
    date: "Mon, 23 Nov 2026 12:00:00 GMT",
    contentType: "application/json",
    coding: "gzip",
    digest: "d".repeat(64),
    bytes: 100,
    aliasOf: undefined,
    fence: 0,
    ...changes,
  };
}

/** The head of a group at generation 10, confirmed at 0. */
export function headWith(changes: Partial<Head> = {}): Head {
  return { ...NO_HEAD, generation: 10, ...changes };
}
