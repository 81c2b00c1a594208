import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../clock.ts";
import {
  APPLICATION_ID,
  CONNECTION_PRAGMAS,
  FORMAT_PRAGMAS,
  LATER_TABLES,
  SCHEMA,
  SCHEMA_VERSION,
} from "./embedded-schema.ts";
import type { OnSurvived } from "./survived.ts";

/** How long the start may wait for another process that is just making or recovering the file. */
const OPEN_BUSY_MS = 5_000;
/** How long a statement may hold the event loop for another process' write; beyond it, the writer waits off it. */
const BUSY_MS = 5;

// Primary result codes of SQLite (sqlite.org/rescode.html).
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

export interface FileOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
}

/** A connection, and which file (inode) it is on: the name may come to mean another one. */
export interface OpenFile {
  readonly db: DatabaseSync;
  readonly inode: bigint;
}

/**
 * Opens the database, made new where there is none. A file that is no database, is corrupt, or is of another schema
 * version or application is put aside (`<file>.corrupt-<epochMs>`, `<file>.version-<n>-<epochMs>`), which is told to
 * `onSurvived`, and a fresh one begun: it is a cache.
 *
 * @throws Error (from node:fs or node:sqlite) when the file can be neither read nor made
 */
export function openFile(options: FileOptions): OpenFile {
  const { file } = options;
  mkdirSync(dirname(file), { recursive: true });
  const seen = inodeOf(file);
  try {
    const outcome = tryOpen(file);
    if ("open" in outcome) return outcome.open;
    moveAside(options, `version-${outcome.version}`, new Error(`schema version ${outcome.version}`), seen);
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    moveAside(options, "corrupt", error, seen);
  }
  const second = tryOpen(file);
  if ("open" in second) return second.open;
  throw new Error(`${file}: schema version ${second.version}, again after it was put aside`);
}

/** Closes a connection whose file is corrupt (`error` says so) or moved, and opens a good one under the same name. */
export function reopenFile(options: FileOptions, bad: OpenFile, error: unknown): OpenFile {
  bad.db.close();
  // Another process may have put it aside already: then what bears the name now is good.
  if (isCorrupt(error)) moveAside(options, "corrupt", error, bad.inode);
  return openFile(options);
}

/** SQLite says that the file's content cannot be what it wrote. */
export function isCorrupt(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && [SQLITE_CORRUPT, SQLITE_NOTADB].includes(code & 0xff);
}

/** The name means another file by now, or none: somebody has moved or removed the one that is open. */
export function isMoved({ file }: FileOptions, open: OpenFile): boolean {
  return inodeOf(file) !== open.inode;
}

/** Another process is writing: to be tried again soon. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && (code & 0xff) === SQLITE_BUSY;
}

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode
    : undefined;
}

function tryOpen(file: string): { open: OpenFile } | { version: number } {
  const db = new DatabaseSync(file, { timeout: OPEN_BUSY_MS });
  try {
    const version = prepareFile(db);
    if (version !== SCHEMA_VERSION) {
      db.close();
      return { version };
    }
    db.exec(LATER_TABLES);
    db.exec(`${CONNECTION_PRAGMAS} PRAGMA busy_timeout = ${BUSY_MS};`);
    return { open: { db, inode: inodeOf(file) ?? 0n } };
  } catch (error) {
    if (db.isOpen) db.close();
    throw error;
  }
}

/** @returns the schema version found, or made in an empty file; -1 for another application's database */
function prepareFile(db: DatabaseSync): number {
  if (readVersion(db) === undefined) {
    db.exec(FORMAT_PRAGMAS);
    db.exec("BEGIN IMMEDIATE");
    // Another process may have made the tables while this one waited for the lock.
    if (readVersion(db) === undefined) db.exec(SCHEMA);
    db.exec("COMMIT");
  }
  return readVersion(db) ?? -1;
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

function moveAside(
  { file, clock, onSurvived }: FileOptions,
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
  onSurvived(`store: file put aside (${why})`, aside, error);
}

function inodeOf(file: string): bigint | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino;
}
