import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { EpochMs } from "../clock.ts";
import { PIECES_PER_BODY } from "./embedded-schema.ts";
import { decodeEntry, encodeEntry } from "./entry-json.ts";
import type { Entry, FeedPosition, Found, Head, StoreSize } from "./store.ts";

/** At most so many heads of groups without an entry are kept, the last confirmed ones. */
const MAX_BARE_HEADS = 10_000;

type Row = Record<string, SQLOutputValue>;

/** A body that an entry refers to. */
export interface HeldBody {
  readonly body: number;
  readonly bytes: number;
  readonly usedAt: EpochMs;
}

/** An entry's row, as its replacement sees it. */
export interface HeldEntry {
  readonly id: number;
  /** Undefined where the row cannot be read. */
  readonly entry: Entry | undefined;
  readonly body: number | undefined;
  readonly bytes: number;
}

/** Every statement that the embedded store runs, as functions on its own types. */
export type Statements = ReturnType<typeof prepareStatements>;

/** Prepares all statements on an open database. */
export function prepareStatements(db: DatabaseSync) {
  const select = {
    found: db.prepare(`
      SELECT h.generation, h.advanced_at, h.confirmed_at, h.invalidated_at, h.lower_since, e.json, e.used_at
      FROM (SELECT ?1 AS grp) AS asked
      LEFT JOIN head AS h ON h.grp = asked.grp
      LEFT JOIN entry AS e ON e.id =
        (SELECT id FROM entry WHERE grp = ?1 AND name = ?2 ORDER BY generation DESC LIMIT 1)`),
    head: db.prepare(
      "SELECT generation, advanced_at, confirmed_at, invalidated_at, lower_since FROM head WHERE grp = ?",
    ),
    held: db.prepare("SELECT id, json, body, bytes FROM entry WHERE grp = ? AND name = ?"),
    body: db.prepare(`
      SELECT body, bytes, used_at FROM entry
      WHERE grp = ? AND name = ? AND digest = ? AND body IS NOT NULL ORDER BY generation DESC LIMIT 1`),
    pieces: db.prepare("SELECT bytes FROM piece WHERE id >= ? AND id < ? ORDER BY id"),
    leastUsed: db.prepare("SELECT id, bytes FROM entry WHERE id <> ? ORDER BY used_at, id LIMIT ?"),
    ofGroup: db.prepare("SELECT id FROM entry WHERE grp = ? LIMIT ?"),
    loose: db.prepare("SELECT body FROM loose WHERE since < ? LIMIT 1"),
    tally: db.prepare("SELECT entries, bytes FROM tally"),
    feed: db.prepare("SELECT serial, as_of, followed_since, fence FROM feed"),
    freePages: db.prepare(
      "SELECT freelist_count AS free, page_count AS pages FROM pragma_freelist_count, pragma_page_count",
    ),
  };
  const run = {
    putHead: db.prepare(`
      INSERT OR REPLACE INTO head
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, NOT EXISTS (SELECT 1 FROM entry WHERE grp = ?1))`),
    advanceHead: db.prepare(
      "UPDATE head SET generation = ?2, advanced_at = ?3, lower_since = 0 WHERE grp = ?1 AND generation < ?2",
    ),
    putFeed: db.prepare(`
      INSERT INTO feed VALUES (1, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET serial = excluded.serial, as_of = excluded.as_of,
        followed_since = excluded.followed_since, fence = excluded.fence
      WHERE fence <= excluded.fence`),
    dropHead: db.prepare("DELETE FROM head WHERE grp = ?"),
    dropBareHeads: db.prepare(`
      DELETE FROM head WHERE grp IN
        (SELECT grp FROM head WHERE bare = 1 ORDER BY confirmed_at DESC LIMIT 16 OFFSET ${MAX_BARE_HEADS})`),
    putEntry: db.prepare(`
      INSERT INTO entry (grp, name, generation, digest, body, bytes, used_at, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET digest = excluded.digest, body = excluded.body, bytes = excluded.bytes,
        used_at = excluded.used_at, json = excluded.json
      RETURNING id`),
    dropEntry: db.prepare("DELETE FROM entry WHERE id = ?"),
    use: db.prepare("UPDATE entry SET used_at = max(used_at, ?3) WHERE grp = ?1 AND name = ?2"),
    nextBody: db.prepare("UPDATE tally SET last_body = last_body + 1 RETURNING last_body"),
    putPiece: db.prepare("INSERT INTO piece VALUES (?, ?)"),
    dropPieces: db.prepare(
      "DELETE FROM piece WHERE id IN (SELECT id FROM piece WHERE id >= ? AND id < ? LIMIT ?)",
    ),
    putLoose: db.prepare("INSERT OR REPLACE INTO loose VALUES (?, ?)"),
    dropLoose: db.prepare("DELETE FROM loose WHERE body = ?"),
  };

  return {
    begin: () => db.exec("BEGIN IMMEDIATE"),
    commit: () => db.exec("COMMIT"),
    rollback: () => {
      if (db.isTransaction) db.exec("ROLLBACK");
    },

    found: (group: string, name: string): Found & { usedAt: EpochMs } => {
      const row = select.found.get(group, name) ?? {};
      const json = row["json"];
      return {
        head: headOf(row),
        entry: typeof json === "string" ? decodeEntry(json, group, name) : undefined,
        usedAt: numberOf(row, "used_at"),
      };
    },
    head: (group: string): Head | undefined => headOf(select.head.get(group) ?? {}),
    putHead: (group: string, head: Head): void => {
      run.putHead.run(
        group,
        head.generation,
        head.advancedAt,
        head.confirmedAt,
        head.invalidatedAt,
        head.lowerSince,
      );
    },
    /** As `advanceHead` of change-rules.ts, where there is a head: where there are entries there is one. */
    advanceHead: (group: string, generation: number, at: EpochMs): void =>
      void run.advanceHead.run(group, generation, at),
    dropHead: (group: string): void => void run.dropHead.run(group),
    dropBareHeads: (): void => void run.dropBareHeads.run(),

    /** Every generation held of a name: rarely more than one. */
    held: (group: string, name: string): readonly HeldEntry[] =>
      select.held.all(group, name).map((row) => heldOf(row, group, name)),
    /** @returns the row's id */
    putEntry: (entry: Entry, body: number | undefined, bytes: number, usedAt: EpochMs): number => {
      const row = run.putEntry.get(
        entry.group,
        entry.name,
        entry.generation,
        entry.digest,
        body ?? null,
        bytes,
        usedAt,
        encodeEntry(entry),
      );
      return numberOf(row ?? {}, "id");
    },
    dropEntry: (id: number): void => void run.dropEntry.run(id),
    use: (group: string, name: string, at: EpochMs): void => void run.use.run(group, name, at),
    /** The entries used longest ago, but not `butId`. */
    leastUsed: (butId: number, limit: number): readonly { id: number; bytes: number }[] =>
      select.leastUsed
        .all(butId, limit)
        .map((row) => ({ id: numberOf(row, "id"), bytes: numberOf(row, "bytes") })),
    idsOfGroup: (group: string, limit: number): readonly number[] =>
      select.ofGroup.all(group, limit).map((row) => numberOf(row, "id")),

    /** The body that is held for a digest under a name. */
    body: (group: string, name: string, digest: string): HeldBody | undefined => {
      const row = select.body.get(group, name, digest);
      if (row === undefined) return undefined;
      return { body: numberOf(row, "body"), bytes: numberOf(row, "bytes"), usedAt: numberOf(row, "used_at") };
    },
    nextBody: (): number => numberOf(run.nextBody.get() ?? {}, "last_body"),
    putPiece: (body: number, index: number, bytes: Uint8Array): void => {
      run.putPiece.run(body * PIECES_PER_BODY + index, bytes);
    },
    /** The pieces from index `from` up to, not including, `to`. */
    pieces: (body: number, from: number, to: number): readonly Uint8Array[] =>
      select.pieces
        .all(body * PIECES_PER_BODY + from, body * PIECES_PER_BODY + to)
        .map((row) => row["bytes"])
        .filter((bytes) => bytes instanceof Uint8Array),
    /** @returns how many were removed: fewer than `limit` when none is left */
    dropPieces: (body: number, limit: number): number =>
      Number(run.dropPieces.run(body * PIECES_PER_BODY, (body + 1) * PIECES_PER_BODY, limit).changes),

    /** A body that nothing refers to: to be removed, or given up by its writer before `since`. */
    looseBefore: (since: EpochMs): number | undefined => {
      const row = select.loose.get(since);
      return row === undefined ? undefined : numberOf(row, "body");
    },
    putLoose: (body: number, since: EpochMs): void => void run.putLoose.run(body, since),
    /** @returns false when it was not there: it has been swept away */
    dropLoose: (body: number): boolean => run.dropLoose.run(body).changes === 1,

    feed: (): FeedPosition | undefined => {
      const row = select.feed.get();
      if (row === undefined) return undefined;
      return {
        serial: numberOf(row, "serial"),
        asOf: numberOf(row, "as_of"),
        followedSince: numberOf(row, "followed_since"),
        fence: numberOf(row, "fence"),
      };
    },
    /** @returns false when the row that is there has a greater fence */
    putFeed: ({ serial, asOf, followedSince, fence }: FeedPosition): boolean =>
      run.putFeed.run(serial, asOf, followedSince, fence).changes === 1,

    tally: (): StoreSize => {
      const row = select.tally.get() ?? {};
      return { entries: numberOf(row, "entries"), bytes: numberOf(row, "bytes") };
    },
    freePages: (): { free: number; pages: number } => {
      const row = select.freePages.get() ?? {};
      return { free: numberOf(row, "free"), pages: numberOf(row, "pages") };
    },
    /** Gives up to so many free pages at the end of the file back to the file system. */
    vacuum: (pages: number): void => db.exec(`PRAGMA incremental_vacuum(${pages})`),
  };
}

function headOf(row: Row): Head | undefined {
  if (typeof row["generation"] !== "number") return undefined;
  return {
    generation: row["generation"],
    advancedAt: numberOf(row, "advanced_at"),
    confirmedAt: numberOf(row, "confirmed_at"),
    invalidatedAt: numberOf(row, "invalidated_at"),
    lowerSince: numberOf(row, "lower_since"),
  };
}

function heldOf(row: Row, group: string, name: string): HeldEntry {
  const { json, body } = row;
  return {
    id: numberOf(row, "id"),
    entry: typeof json === "string" ? decodeEntry(json, group, name) : undefined,
    body: typeof body === "number" ? body : undefined,
    bytes: numberOf(row, "bytes"),
  };
}

function numberOf(row: Row, column: string): number {
  const value = row[column];
  return typeof value === "number" ? value : 0;
}
