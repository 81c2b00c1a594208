import type { Layout } from "../sqlite/database-file.ts";

/** Bodies are kept in rows of this size, so that no single statement moves more. */
export const PIECE_BYTES = 256 * 1024;

/** A piece's id is its body's id times this, plus its place: one range of the primary key for each body. */
export const PIECES_PER_BODY = 4096;

/** In this order: WAL writes the file's header. */
const FORMAT_PRAGMAS = `
  PRAGMA page_size = 8192;
  PRAGMA auto_vacuum = INCREMENTAL;
  PRAGMA journal_mode = WAL;
`;

/** How long a statement may hold the event loop for another process' write; beyond it, the writer waits off it. */
const BUSY_MS = 5;

/**
 * For each connection. NORMAL survives `kill -9` whole, and a power cut but for the last transactions, which a cache
 * may lose. A commit does not wait for the disk then, a checkpoint does: those are made off the loop
 * (embedded-checkpoint.ts), and by the connection only when the log has grown to 64 MiB regardless. 4 MB of pages hold
 * the upper levels of every index; the rest is in the system's cache, which is nobody's resident memory.
 */
const CONNECTION_PRAGMAS = `
  PRAGMA synchronous = NORMAL;
  PRAGMA wal_autocheckpoint = 8192;
  PRAGMA journal_size_limit = 67108864;
  PRAGMA cache_size = -4000;
  PRAGMA temp_store = MEMORY;
  PRAGMA busy_timeout = ${BUSY_MS};
`;

/**
 * The tables. Triggers keep what must always be true of them, whoever writes: the tally is the sum of the entries, a
 * body that no entry refers to is in `loose`, and a group whose last entry goes has no head.
 *
 * - `head`: one row for each group; `bare` while the group has no entry (such heads are bounded by number).
 * - `entry`: `body` is the body's id, absent for negative entries and aliases; `bytes` its length; `used_at` in ms.
 * - `piece`: the body's bytes, in pieces.
 * - `loose`: bodies that no entry refers to: `since` 0 to be removed; else being written since then (ms).
 * - `tally`: one row; `last_body` only ever grows, so that an id never means another body's bytes.
 */
const SCHEMA = `
  CREATE TABLE head (
    grp TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    advanced_at INTEGER NOT NULL,
    confirmed_at INTEGER NOT NULL,
    invalidated_at INTEGER NOT NULL,
    lower_since INTEGER NOT NULL,
    bare INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX head_bare ON head (confirmed_at) WHERE bare = 1;

  CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    grp TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    digest TEXT NOT NULL,
    body INTEGER,
    bytes INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    json TEXT NOT NULL,
    UNIQUE (grp, name, generation)
  ) STRICT;
  CREATE INDEX entry_used ON entry (used_at);

  CREATE TABLE piece (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE loose (body INTEGER PRIMARY KEY, since INTEGER NOT NULL) STRICT;
  CREATE TABLE tally (entries INTEGER NOT NULL, bytes INTEGER NOT NULL, last_body INTEGER NOT NULL) STRICT;
  INSERT INTO tally VALUES (0, 0, 0);

  CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
    UPDATE tally SET entries = entries + 1, bytes = bytes + new.bytes;
    UPDATE head SET bare = 0 WHERE grp = new.grp AND bare = 1;
  END;
  CREATE TRIGGER entry_changed AFTER UPDATE OF body, bytes ON entry BEGIN
    UPDATE tally SET bytes = bytes + new.bytes - old.bytes;
    INSERT OR REPLACE INTO loose SELECT old.body, 0 WHERE old.body IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM entry WHERE grp = old.grp AND name = old.name AND body = old.body);
  END;
  CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
    UPDATE tally SET entries = entries - 1, bytes = bytes - old.bytes;
    INSERT OR REPLACE INTO loose SELECT old.body, 0 WHERE old.body IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM entry WHERE grp = old.grp AND name = old.name AND body = old.body);
    DELETE FROM head WHERE grp = old.grp AND NOT EXISTS (SELECT 1 FROM entry WHERE grp = old.grp);
  END;
`;

/**
 * Tables that came later. A larder that does not know them leaves them alone, so they are added to a file that is in
 * use, under the same version: nothing is put aside for them.
 *
 * - `feed`: one row at most: how far the change feed has been followed.
 */
const LATER_TABLES = `
  CREATE TABLE IF NOT EXISTS feed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    serial INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    followed_since INTEGER NOT NULL,
    fence INTEGER NOT NULL
  ) STRICT;
`;

/** The store's database. */
export const LAYOUT: Layout = {
  applicationId: 0x6c617264, // "lard" in ASCII
  version: 1,
  formatPragmas: FORMAT_PRAGMAS,
  schema: SCHEMA,
  connection: LATER_TABLES + CONNECTION_PRAGMAS,
};
