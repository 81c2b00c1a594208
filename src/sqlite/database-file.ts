import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../clock.ts";
import { isCorrupt } from "./result-codes.ts";

/** How long the start may wait for another process that is just making or recovering the file. */
const OPEN_BUSY_MS = 5_000;

/** The index of a write-ahead log has 32 KiB at the least, and the log its first frames. */
const ROOM_BYTES = 128 * 1024;

/** What a database has to be. */
export interface Layout {
  /** `PRAGMA application_id`: whose file it is. */
  readonly applicationId: number;
  /** `PRAGMA user_version` of these tables. */
  readonly version: number;
  /** Has to be said of an empty file before its first table, outside a transaction. */
  readonly formatPragmas: string;
  /** The tables, made in one transaction. */
  readonly schema: string;
  /** For each connection, once the tables are there. */
  readonly connection: string;
}

export interface DatabaseFileOptions {
  readonly file: string;
  readonly layout: Layout;
  readonly clock: Clock;
  /**
   * Told of a file that could not be used, and was put aside.
   * @param why "corrupt" or "version-<n>"
   * @param aside its new name
   */
  readonly onPutAside: (why: string, aside: string, error: unknown) => void;
}

/** A connection, and which file (inode) it is on: the name may come to mean another one. */
export interface DatabaseFile {
  readonly db: DatabaseSync;
  readonly inode: bigint;
}

/**
 * Opens the database, made new where there is none. A file that is no database, is corrupt, or is of another version or
 * application is put aside (`<file>.corrupt-<epochMs>`, `<file>.version-<n>-<epochMs>`) and a fresh one begun: what
 * larder keeps in one can be had again. Several processes may do so at once.
 *
 * @throws Error (from node:fs or node:sqlite) when the file can be neither read nor made
 */
export function openDatabase(options: DatabaseFileOptions): DatabaseFile {
  const { file } = options;
  mkdirSync(dirname(file), { recursive: true });
  rmSync(roomOf(file), { force: true });
  const seen = inodeOf(file);
  try {
    const outcome = tryOpen(options);
    if ("open" in outcome) return outcome.open;
    moveAside(options, `version-${outcome.version}`, new Error(`schema version ${outcome.version}`), seen);
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    moveAside(options, "corrupt", error, seen);
  }
  const second = tryOpen(options);
  if ("open" in second) return second.open;
  throw new Error(`${file}: schema version ${second.version}, again after it was put aside`);
}

/**
 * Closes a connection, and keeps room on the disk for the next one: SQLite takes away its files beside the database, and
 * could not make them again on a disk that was filled meanwhile.
 */
export function closeDatabase({ file }: DatabaseFileOptions, { db }: DatabaseFile): void {
  db.close();
  try {
    // Bytes that no file system makes smaller.
    writeFileSync(roomOf(file), randomBytes(ROOM_BYTES));
  } catch {
    // As if it were not there: the next start may have to wait for room.
  }
}

/** Closes a connection whose file is corrupt (`error` says so) or moved, and opens a good one under the same name. */
export function reopenDatabase(
  options: DatabaseFileOptions,
  bad: DatabaseFile,
  error: unknown,
): DatabaseFile {
  bad.db.close();
  // Another process may have put it aside already: then what bears the name now is good.
  if (isCorrupt(error)) moveAside(options, "corrupt", error, bad.inode);
  return openDatabase(options);
}

/** The name means another file by now, or none: somebody has moved or removed the one that is open. */
export function isMoved({ file }: DatabaseFileOptions, open: DatabaseFile): boolean {
  return inodeOf(file) !== open.inode;
}

function tryOpen({ file, layout }: DatabaseFileOptions): { open: DatabaseFile } | { version: number } {
  const db = new DatabaseSync(file, { timeout: OPEN_BUSY_MS });
  try {
    const version = prepare(db, layout);
    if (version !== layout.version) {
      db.close();
      return { version };
    }
    db.exec(layout.connection);
    return { open: { db, inode: inodeOf(file) ?? 0n } };
  } catch (error) {
    if (db.isOpen) db.close();
    throw error;
  }
}

/** @returns the version found, or made in an empty file; -1 for another application's database */
function prepare(db: DatabaseSync, layout: Layout): number {
  if (readVersion(db, layout) === undefined) {
    db.exec(layout.formatPragmas);
    db.exec("BEGIN IMMEDIATE");
    // Another process may have made the tables while this one waited for the lock.
    if (readVersion(db, layout) === undefined) {
      db.exec(layout.schema);
      db.exec(`PRAGMA application_id = ${layout.applicationId}; PRAGMA user_version = ${layout.version}`);
    }
    db.exec("COMMIT");
  }
  return readVersion(db, layout) ?? -1;
}

/** @returns undefined for an empty file, -1 for another application's */
function readVersion(db: DatabaseSync, { applicationId }: Layout): number | undefined {
  const row = db
    .prepare(
      `SELECT (SELECT user_version FROM pragma_user_version) AS version,
              (SELECT application_id FROM pragma_application_id) AS application,
              (SELECT count(*) FROM sqlite_schema) AS objects`,
    )
    .get();
  if (row?.["objects"] === 0) return undefined;
  return row?.["application"] === applicationId ? Number(row["version"]) : -1;
}

function moveAside(
  { file, clock, onPutAside }: DatabaseFileOptions,
  why: string,
  error: unknown,
  seen: bigint | undefined,
): void {
  // Two processes that start on one bad file: the second must not put the first one's fresh file aside.
  if (seen === undefined || inodeOf(file) !== seen) return;
  const aside = `${file}.${why}-${clock.now()}`;
  renameSync(file, aside);
  for (const suffix of ["-wal", "-shm"]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  }
  onPutAside(why, aside, error);
}

function roomOf(file: string): string {
  return `${file}.room`;
}

function inodeOf(file: string): bigint | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino;
}
