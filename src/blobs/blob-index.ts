import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock, EpochMs, Ms } from "../clock.ts";
import { Connection } from "../sqlite/connection.ts";
import type { Layout } from "../sqlite/database-file.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { BlobFacts } from "./source.ts";

/** What the index knows of a file that is held. */
export interface IndexRow extends BlobFacts {
  readonly bytes: number;
}

/** A row with what is for the index' own use. */
export interface KnownRow extends IndexRow {
  readonly path: string;
  readonly usedAt: EpochMs;
}

export interface BlobIndexOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
  /** It turned out to be corrupt, and knows nothing any more. */
  readonly onEmptied: () => void;
}

export interface Tally {
  readonly entries: number;
  readonly bytes: number;
}

// How long a statement may hold the event loop for another process' write. Each such write is one row.
const BUSY_MS = 50;

// In one transaction.
const USES_AT_ONCE = 128;

const CONNECTION_PRAGMAS = `
  PRAGMA synchronous = NORMAL;
  PRAGMA journal_size_limit = 1048576;
  PRAGMA busy_timeout = ${BUSY_MS};
`;

/** `name` is that of the file on disk; `path` is for people. Triggers keep the tally, whoever writes. */
const SCHEMA = `
  CREATE TABLE blob (
    name TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    last_modified TEXT,
    date TEXT NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blob_used ON blob (used_at);
  CREATE TABLE tally (entries INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
  INSERT INTO tally VALUES (0, 0);
  CREATE TRIGGER blob_added AFTER INSERT ON blob BEGIN
    UPDATE tally SET entries = entries + 1, bytes = bytes + new.bytes;
  END;
  CREATE TRIGGER blob_changed AFTER UPDATE OF bytes ON blob BEGIN
    UPDATE tally SET bytes = bytes + new.bytes - old.bytes;
  END;
  CREATE TRIGGER blob_removed AFTER DELETE ON blob BEGIN
    UPDATE tally SET entries = entries - 1, bytes = bytes - old.bytes;
  END;
`;

const LAYOUT: Layout = {
  applicationId: 0x6c616466, // "ladf" in ASCII
  version: 1,
  formatPragmas: "PRAGMA journal_mode = WAL",
  schema: SCHEMA,
  connection: CONNECTION_PRAGMAS,
};

/**
 * Which files are held, and when each was last used. Several processes may have it open. A file that is no such index, or
 * turns out to be corrupt, is put aside and an empty one begun: what lies in the folder is then taken in again.
 */
export class BlobIndex {
  readonly #clock: Clock;
  readonly #connection: Connection<Statements>;
  /** Uses not yet written: a read must not cost a write. */
  readonly #uses = new Map<string, EpochMs>();

  /** @throws Error (from node:sqlite) when the file can be neither read nor made */
  constructor({ file, clock, onSurvived, onEmptied }: BlobIndexOptions) {
    this.#clock = clock;
    this.#connection = new Connection({
      file,
      clock,
      layout: LAYOUT,
      prepare,
      onLeft: onEmptied,
      onPutAside: (why, aside, error) => onSurvived(`files: index put aside (${why})`, aside, error),
    });
  }

  get(name: string): KnownRow | undefined {
    const row = this.#connection.query(({ get }) => get.get(name));
    if (row === undefined) return undefined;
    const lastModified = row["last_modified"];
    return {
      path: String(row["path"]),
      usedAt: Number(row["used_at"]),
      bytes: Number(row["bytes"]),
      contentType: String(row["content_type"]),
      lastModified: typeof lastModified === "string" ? lastModified : undefined,
      date: String(row["date"]),
    };
  }

  put(name: string, path: string, row: IndexRow, usedAt = this.#clock.now()): void {
    const { bytes, contentType, lastModified, date } = row;
    this.#connection.query(({ put }) =>
      put.run(name, path, bytes, contentType, lastModified ?? null, date, Math.floor(usedAt)),
    );
  }

  /** The directories of all names. */
  directories(): string[] {
    return this.#connection
      .query(({ directories }) => directories.all())
      .map((row) => String(row["directory"]));
  }

  /** Names of one directory. */
  namesIn(directory: string): Set<string> {
    const rows = this.#connection.query(({ namesIn }) => namesIn.all(`${directory}/`, `${directory}0`));
    return new Set(rows.map((row) => String(row["name"])));
  }

  remove(name: string): void {
    this.#uses.delete(name);
    this.#connection.query(({ remove }) => remove.run(name));
  }

  /**
   * The same, where the row is still the one that was last used at that instant: another may have stored the file anew.
   * @returns whether it was
   */
  removeSince(name: string, usedAt: EpochMs): boolean {
    const { changes } = this.#connection.query(({ removeSince }) => removeSince.run(name, usedAt));
    if (changes === 0) return false;
    this.#uses.delete(name);
    return true;
  }

  /** Notes a use; written by `flushUses`. */
  use(name: string): void {
    this.#uses.set(name, this.#clock.now());
  }

  /**
   * Writes the uses noted since the last time, some with each step, in about 2 ms.
   * @returns with each step those of its names that were not used for `sinceMs` before
   */
  *flushUses(sinceMs: Ms): Generator<string[], void> {
    const noted = [...this.#uses];
    for (let from = 0; from < noted.length; from += USES_AT_ONCE) {
      // Another who flushes may have written some of them meanwhile.
      const uses = noted.slice(from, from + USES_AT_ONCE).filter(([name]) => this.#uses.has(name));
      if (uses.length === 0) continue;
      const rare = uses.filter(([name, at]) => at - (this.get(name)?.usedAt ?? at) >= sinceMs);
      this.#writeUses(uses);
      for (const [name, at] of uses) if (this.#uses.get(name) === at) this.#uses.delete(name);
      yield rare.map(([name]) => name);
    }
  }

  /** Writes down that a file was used by somebody else. */
  usedBy(name: string, at: EpochMs): void {
    this.#connection.query(({ use }) => use.run(Math.floor(at), name, Math.floor(at)));
  }

  /** Least recently used first, as far as `flushUses` has told. */
  oldest(limit: number): { readonly name: string; readonly bytes: number; readonly usedAt: EpochMs }[] {
    return this.#connection
      .query(({ oldest }) => oldest.all(limit))
      .map((row) => ({
        name: String(row["name"]),
        bytes: Number(row["bytes"]),
        usedAt: Number(row["used_at"]),
      }));
  }

  tally(): Tally {
    const row = this.#connection.query(({ tally }) => tally.get());
    return { entries: Number(row?.["entries"] ?? 0), bytes: Number(row?.["bytes"] ?? 0) };
  }

  close(): void {
    this.#connection.close();
  }

  #writeUses(uses: readonly (readonly [string, EpochMs])[]): void {
    this.#connection.query(({ use }, db) => {
      db.exec("BEGIN IMMEDIATE");
      try {
        for (const [name, at] of uses) use.run(at, name, at);
        db.exec("COMMIT");
      } catch (error) {
        if (db.isTransaction) db.exec("ROLLBACK");
        throw error;
      }
    });
  }
}

type Statements = Readonly<Record<"get" | "put" | "remove" | "removeSince" | "oldest", StatementSync>> &
  Readonly<Record<"namesIn" | "directories" | "tally" | "use", StatementSync>>;

function prepare(db: DatabaseSync): Statements {
  return {
    get: db.prepare(
      "SELECT path, bytes, content_type, last_modified, date, used_at FROM blob WHERE name = ?",
    ),
    put: db.prepare(
      `INSERT INTO blob VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, used_at = excluded.used_at`,
    ),
    remove: db.prepare("DELETE FROM blob WHERE name = ?"),
    removeSince: db.prepare("DELETE FROM blob WHERE name = ? AND used_at = ?"),
    oldest: db.prepare("SELECT name, bytes, used_at FROM blob ORDER BY used_at LIMIT ?"),
    namesIn: db.prepare("SELECT name FROM blob WHERE name >= ? AND name < ?"),
    directories: db.prepare("SELECT DISTINCT substr(name, 1, 2) AS directory FROM blob"),
    tally: db.prepare("SELECT entries, bytes FROM tally"),
    use: db.prepare("UPDATE blob SET used_at = ? WHERE name = ? AND used_at < ?"),
  };
}
