import type { Clock } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import {
  closeDatabase,
  type DatabaseFile,
  type DatabaseFileOptions,
  isMoved,
  openDatabase,
  reopenDatabase,
} from "../sqlite/database-file.ts";
import { isBusy, isCorrupt } from "../sqlite/result-codes.ts";
import { Checkpointer } from "./embedded-checkpoint.ts";
import { LAYOUT } from "./embedded-schema.ts";
import { prepareStatements, type Statements } from "./embedded-statements.ts";
import type { Awaitable } from "./store.ts";
import type { OnSurvived } from "./survived.ts";

/** How often a write is tried while other processes hold the lock, and how long it waits in between: 2 s in all. */
const BUSY_ATTEMPTS = 100;
const BUSY_PAUSE_MS = 20;

export interface SessionOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
}

/** A connection, for as long as its file is good. */
interface Connection {
  readonly file: DatabaseFile;
  readonly sql: Statements;
  readonly checkpointer: Checkpointer;
}

/**
 * Queries and transactions on the database under one name, over every connection that it takes: a file that turns
 * out to be corrupt, or is not under its name any more, is left for a fresh one.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #database: DatabaseFileOptions;
  #connection: Connection | undefined;
  #isClosed = false;

  /** Opens the file; throws what `openDatabase` does. */
  constructor(options: SessionOptions) {
    const { file, clock, onSurvived } = options;
    this.#options = options;
    this.#database = {
      file,
      clock,
      layout: LAYOUT,
      onPutAside: (why, aside, error) => onSurvived(`store: file put aside (${why})`, aside, error),
    };
    this.#connection = this.#connect(openDatabase(this.#database));
  }

  /**
   * Runs `work` on the database.
   * @throws StoreUnavailable once it is closed; whatever SQLite throws
   */
  query<T>(work: (sql: Statements) => T): T {
    const { sql } = this.#connected();
    try {
      return work(sql);
    } catch (error) {
      if (isCorrupt(error)) this.#replace(error);
      throw error;
    }
  }

  /**
   * Runs `work` in a transaction: at once, and without a promise, if no other process is writing; else as soon as it
   * may. `bodyBytes`: how much of bodies it writes.
   * @throws StoreUnavailable when other processes hold the lock for more than 2 s; whatever SQLite or `work` throws
   */
  transact<T>(work: (sql: Statements) => T, bodyBytes = 0): Awaitable<T> {
    try {
      return this.transactNow(work, bodyBytes);
    } catch (error) {
      if (!isBusy(error)) throw error;
      return this.#transactLater(work, bodyBytes);
    }
  }

  /** As `transact`, but throws SQLITE_BUSY (see `isBusy`) instead of waiting. */
  transactNow<T>(work: (sql: Statements) => T, bodyBytes = 0): T {
    // A microsecond's look, lest all be written to a file that nobody will open again.
    if (this.#connection !== undefined && isMoved(this.#database, this.#connection.file))
      this.#replace(undefined);
    const result = this.query((sql) => {
      sql.begin();
      try {
        const value = work(sql);
        sql.commit();
        return value;
      } catch (error) {
        sql.rollback();
        throw error;
      }
    });
    this.#connection?.checkpointer.wrote(bodyBytes);
    return result;
  }

  /** Moves the write-ahead log into the file, off the loop: what was given back leaves the disk only then. */
  checkpoint(): void {
    this.#connection?.checkpointer.run();
  }

  close(): Awaitable<void> {
    this.#isClosed = true;
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    // This connection has to be the last one: it then leaves a file without a log.
    if (connection.checkpointer.isRunning) {
      return connection.checkpointer.close().then(() => closeDatabase(this.#database, connection.file));
    }
    closeDatabase(this.#database, connection.file);
  }

  async #transactLater<T>(work: (sql: Statements) => T, bodyBytes: number): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      await new Promise<void>((resolve) => this.#options.clock.after(BUSY_PAUSE_MS, resolve));
      try {
        return this.transactNow(work, bodyBytes);
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (attempt === BUSY_ATTEMPTS) {
          throw new StoreUnavailable(`${this.#options.file}: locked by another process`, { cause: error });
        }
      }
    }
  }

  #connected(): Connection {
    if (this.#isClosed) throw new StoreUnavailable(`${this.#options.file}: closed`);
    this.#connection ??= this.#connect(openDatabase(this.#database));
    return this.#connection;
  }

  #connect(file: DatabaseFile): Connection {
    const { onSurvived } = this.#options;
    const checkpointer = new Checkpointer(this.#options.file, onSurvived);
    return { file, sql: prepareStatements(file.db), checkpointer };
  }

  #replace(error: unknown): void {
    if (this.#connection === undefined) return;
    const { file, checkpointer } = this.#connection;
    this.#connection = undefined; // so that the next call tries again if this fails
    void checkpointer.close();
    this.#connection = this.#connect(reopenDatabase(this.#database, file, error));
  }
}
