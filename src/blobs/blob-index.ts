import { renameSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Clock, EpochMs, Ms } from "../clock.ts";
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
}

export interface Tally {
  readonly entries: number;
  readonly bytes: number;
}

// "ladf" in ASCII: whose file this is, and the version of the layout below.
const APPLICATION_ID = 0x6c616466;
const SCHEMA_VERSION = 1;
// How long a statement may hold the event loop for another process' write. Each such write is one row.
const BUSY_MS = 50;

const CONNECTION_PRAGMAS = "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 1048576;";

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
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Which files are held, and when each was last used. Several processes may have it open. A file that is no such index
 * is put aside at the start and an empty one begun: what lies on disk without a row is then swept.
 */
export class BlobIndex {
  readonly #db: DatabaseSync;
  readonly #clock: Clock;
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #oldest: StatementSync;
  readonly #namesIn: StatementSync;
  readonly #directories: StatementSync;
  readonly #tally: StatementSync;
  readonly #use: StatementSync;
  /** Uses not yet written: a read must not cost a write. */
  readonly #uses = new Map<string, EpochMs>();

  /** @throws Error (from node:sqlite) when the file can be neither read nor made */
  constructor(options: BlobIndexOptions) {
    this.#db = openIndex(options);
    this.#clock = options.clock;
    this.#get = this.#db.prepare(
      "SELECT path, bytes, content_type, last_modified, date, used_at FROM blob WHERE name = ?",
    );
    this.#put = this.#db.prepare(
      `INSERT INTO blob VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, used_at = excluded.used_at`,
    );
    this.#remove = this.#db.prepare("DELETE FROM blob WHERE name = ?");
    this.#oldest = this.#db.prepare("SELECT name, bytes, used_at FROM blob ORDER BY used_at LIMIT ?");
    this.#namesIn = this.#db.prepare("SELECT name FROM blob WHERE name >= ? AND name < ?");
    this.#directories = this.#db.prepare("SELECT DISTINCT substr(name, 1, 2) AS directory FROM blob");
    this.#tally = this.#db.prepare("SELECT entries, bytes FROM tally");
    this.#use = this.#db.prepare("UPDATE blob SET used_at = ? WHERE name = ? AND used_at < ?");
  }

  get(name: string): KnownRow | undefined {
    const row = this.#get.get(name);
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
    this.#put.run(name, path, bytes, contentType, lastModified ?? null, date, Math.floor(usedAt));
  }

  /** The directories of all names. */
  directories(): string[] {
    return this.#directories.all().map((row) => String(row["directory"]));
  }

  /** Names of one directory. */
  namesIn(directory: string): Set<string> {
    return new Set(this.#namesIn.all(`${directory}/`, `${directory}0`).map((row) => String(row["name"])));
  }

  remove(name: string): void {
    this.#uses.delete(name);
    this.#remove.run(name);
  }

  /** Notes a use; written by `flushUses`. */
  use(name: string): void {
    this.#uses.set(name, this.#clock.now());
  }

  /** Writes the uses noted since the last time. @returns those names that were not used for `sinceMs` before that */
  flushUses(sinceMs: Ms): string[] {
    if (this.#uses.size === 0) return [];
    const rare = [...this.#uses].filter(([name, at]) => at - (this.get(name)?.usedAt ?? at) >= sinceMs);
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      for (const [name, at] of this.#uses) this.#use.run(at, name, at);
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
    this.#uses.clear();
    return rare.map(([name]) => name);
  }

  /** Writes down that a file was used by somebody else. */
  usedBy(name: string, at: EpochMs): void {
    this.#use.run(Math.floor(at), name, Math.floor(at));
  }

  /** Least recently used first, as far as `flushUses` has told. */
  oldest(limit: number): { readonly name: string; readonly bytes: number; readonly usedAt: EpochMs }[] {
    return this.#oldest.all(limit).map((row) => ({
      name: String(row["name"]),
      bytes: Number(row["bytes"]),
      usedAt: Number(row["used_at"]),
    }));
  }

  tally(): Tally {
    const row = this.#tally.get();
    return { entries: Number(row?.["entries"] ?? 0), bytes: Number(row?.["bytes"] ?? 0) };
  }

  close(): void {
    this.#db.close();
  }
}

function openIndex(options: BlobIndexOptions): DatabaseSync {
  const { file, clock, onSurvived } = options;
  try {
    return prepareIndex(file);
  } catch (error) {
    if (!isForeign(error)) throw error;
    const aside = `${file}.aside-${clock.now()}`;
    for (const suffix of ["", "-wal", "-shm"]) moveIfThere(file + suffix, aside + suffix);
    onSurvived("files: index put aside", aside, error);
    return prepareIndex(file);
  }
}

function prepareIndex(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: 5_000 });
  try {
    db.exec("PRAGMA journal_mode = WAL");
    // Two processes may start at once: the second waits here, and finds the tables made.
    db.exec("BEGIN IMMEDIATE");
    if (readVersion(db) === undefined) db.exec(SCHEMA);
    db.exec("COMMIT");
    if (readVersion(db) !== SCHEMA_VERSION) throw new ForeignIndex("the index is of another version or kind");
    db.exec(`${CONNECTION_PRAGMAS} PRAGMA busy_timeout = ${BUSY_MS}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** @returns undefined for an empty file, -1 for another application's */
function readVersion(db: DatabaseSync): number | undefined {
  const row = db
    .prepare(
      `SELECT (SELECT user_version FROM pragma_user_version) AS version,
              (SELECT application_id FROM pragma_application_id) AS application,
              (SELECT count(*) FROM sqlite_schema) AS objects`,
    )
    .get();
  if (row?.["objects"] === 0) return undefined;
  return row?.["application"] === APPLICATION_ID ? Number(row["version"]) : -1;
}

class ForeignIndex extends Error {
  override readonly name = "ForeignIndex";
}

// Primary result codes of SQLite: SQLITE_CORRUPT, SQLITE_NOTADB (sqlite.org/rescode.html).
const NOT_AN_INDEX = new Set([11, 26]);

function isForeign(error: unknown): boolean {
  if (error instanceof ForeignIndex) return true;
  const code = error instanceof Error && "errcode" in error ? error.errcode : undefined;
  return typeof code === "number" && NOT_AN_INDEX.has(code & 0xff);
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
