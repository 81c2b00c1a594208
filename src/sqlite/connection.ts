import type { DatabaseSync } from "node:sqlite";
import {
  closeDatabase,
  type DatabaseFile,
  type DatabaseFileOptions,
  isMoved,
  openDatabase,
  reopenDatabase,
} from "./database-file.ts";
import { isCorrupt } from "./result-codes.ts";

export interface ConnectionOptions<T> extends DatabaseFileOptions {
  /** What is made of each connection: its statements. */
  readonly prepare: (db: DatabaseSync) => T;
  /** A connection, of which this was made, has been left for another one. */
  readonly onLeft?: (prepared: T) => void;
}

/**
 * The database under one name, over every connection that it takes: a file that turns out to be corrupt, or is not under
 * its name any more, is left for a fresh one.
 */
export class Connection<T> {
  readonly #options: ConnectionOptions<T>;
  /** Undefined where it could not be opened again: the next call tries. */
  #current: { readonly file: DatabaseFile; readonly prepared: T } | undefined;
  #isClosed = false;

  /** Opens the file; throws what `openDatabase` does. */
  constructor(options: ConnectionOptions<T>) {
    this.#options = options;
    this.#current = this.#connect(openDatabase(options));
  }

  /** What was made of the present connection, if there is one. */
  get prepared(): T | undefined {
    return this.#current?.prepared;
  }

  /** Runs `work` on the database. @throws Error once it is closed; whatever SQLite, `work`, or `openDatabase` throws */
  query<R>(work: (prepared: T, db: DatabaseSync) => R): R {
    if (this.#isClosed) throw new Error(`${this.#options.file}: closed`);
    this.#current ??= this.#connect(openDatabase(this.#options));
    const { file, prepared } = this.#current;
    try {
      return work(prepared, file.db);
    } catch (error) {
      if (isCorrupt(error)) this.#replace(error);
      throw error;
    }
  }

  /** A microsecond's look, lest all be written to a file that nobody will open again. */
  leaveIfMoved(): void {
    if (this.#current !== undefined && isMoved(this.#options, this.#current.file)) this.#replace(undefined);
  }

  close(): void {
    this.#isClosed = true;
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) closeDatabase(this.#options, current.file);
  }

  #connect(file: DatabaseFile) {
    return { file, prepared: this.#options.prepare(file.db) };
  }

  #replace(error: unknown): void {
    const left = this.#current;
    if (left === undefined) return;
    this.#current = undefined; // so that the next call tries again if this fails
    this.#options.onLeft?.(left.prepared);
    this.#current = this.#connect(reopenDatabase(this.#options, left.file, error));
  }
}
