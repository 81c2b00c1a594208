import type { Clock } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { Connection } from "../sqlite/connection.ts";
import { isBusy } from "../sqlite/result-codes.ts";
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

/** What is made of each connection. */
interface Prepared {
  readonly sql: Statements;
  readonly checkpointer: Checkpointer;
}

/** Queries and transactions on the store's database. */
export class Session {
  readonly #options: SessionOptions;
  readonly #connection: Connection<Prepared>;
  #isClosed = false;

  /** Opens the file; throws what `openDatabase` does. */
  constructor(options: SessionOptions) {
    const { file, clock, onSurvived } = options;
    this.#options = options;
    this.#connection = new Connection({
      file,
      clock,
      layout: LAYOUT,
      prepare: (db) => ({ sql: prepareStatements(db), checkpointer: new Checkpointer(file, onSurvived) }),
      onLeft: ({ checkpointer }) => void checkpointer.close(),
      onPutAside: (why, aside, error) => onSurvived(`store: file put aside (${why})`, aside, error),
    });
  }

  /**
   * Runs `work` on the database.
   * @throws StoreUnavailable once it is closed; whatever SQLite throws
   */
  query<T>(work: (sql: Statements) => T): T {
    if (this.#isClosed) throw new StoreUnavailable(`${this.#options.file}: closed`);
    return this.#connection.query(({ sql }) => work(sql));
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
    if (!this.#isClosed) this.#connection.leaveIfMoved();
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
    this.#connection.prepared?.checkpointer.wrote(bodyBytes);
    return result;
  }

  /** Moves the write-ahead log into the file, off the loop: what was given back leaves the disk only then. */
  checkpoint(): void {
    if (!this.#isClosed) this.#connection.prepared?.checkpointer.run();
  }

  close(): Awaitable<void> {
    this.#isClosed = true;
    const checkpointer = this.#connection.prepared?.checkpointer;
    // This connection has to be the last one: it then leaves a file without a log.
    if (checkpointer?.isRunning === true) return checkpointer.close().then(() => this.#connection.close());
    this.#connection.close();
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
}
