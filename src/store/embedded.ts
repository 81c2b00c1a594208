import type { Clock, EpochMs } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { nextTurn } from "../event-loop.ts";
import { mayApply } from "./change-rules.ts";
import {
  type Applied,
  applyChange,
  type NewBody,
  ENTRY_OVERHEAD_BYTES,
  evict,
  putPieces,
  sweepLoose,
} from "./embedded-change.ts";
import { PIECE_BYTES, PIECES_PER_BODY } from "./embedded-schema.ts";
import { Session } from "./embedded-session.ts";
import { Sweep } from "./embedded-sweep.ts";
import { Uses } from "./embedded-uses.ts";
import type { Awaitable, Change, Entry, FeedPosition, Found, Store, StoreSize, Written } from "./store.ts";
import type { OnSurvived } from "./survived.ts";

/** Up to this size a body is read and written in one go, in under 10 ms; beyond it in slices, with the loop let go. */
const SYNC_BODY_BYTES = 1024 * 1024;
const READ_SLICE_PIECES = 4;
const WRITE_SLICE_BYTES = 2 * PIECE_BYTES;
const REMOVE_BATCH = 64;
/** Heads raised in one transaction: about 2 ms. */
const ADVANCE_BATCH = 500;

/** Where the embedded store keeps its file, and how much it may hold. */
export interface EmbeddedStoreOptions {
  /** Path of the database; its directory is made where it is missing. SQLite keeps `-wal` and `-shm` beside it. */
  readonly file: string;
  /** Bound on the bodies and `ENTRY_OVERHEAD_BYTES` for each entry. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
}

/**
 * Opens the store that needs nothing but a file. Several processes may have it open; `kill -9` loses nothing that
 * was written. Reads, and bodies up to 1 MiB, answer without a promise.
 *
 * An entry larger than `maxBytes` is not stored, its head is. A file that turns out to be no good is put aside, at
 * the start or later, and a fresh one begun (see `openDatabase`).
 *
 * @throws Error (from node:fs or node:sqlite) when the file can be neither read nor made
 */
export function openEmbeddedStore(options: EmbeddedStoreOptions): Store {
  return new EmbeddedStore(options);
}

/**
 * A body is written first, in as many transactions as it takes, and noted as loose; then, in one transaction, the
 * entry that refers to it is written and the note removed; the body it replaces becomes loose and is removed behind.
 * Body ids are never used twice. So whoever reads finds the bytes of the entry's own digest, all of them, or none.
 */
class EmbeddedStore implements Store {
  readonly #options: EmbeddedStoreOptions;
  readonly #session: Session;
  readonly #uses: Uses;
  readonly #sweep: Sweep;
  #isClosed = false;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: EmbeddedStoreOptions) {
    this.#options = options;
    this.#session = new Session(options);
    this.#uses = new Uses({
      session: this.#session,
      clock: options.clock,
      onUnwritten: (error) => options.onSurvived("store: last uses not written", options.file, error),
    });
    this.#sweep = new Sweep({ ...options, session: this.#session });
    this.#sweep.begin();
  }

  read(group: string, name: string): Found {
    const { head, entry, usedAt } = this.#session.query((sql) => sql.found(group, name));
    if (entry !== undefined) this.#uses.noteRead(group, name, usedAt);
    return { head, entry };
  }

  readBody(entry: Entry): Awaitable<Buffer | undefined> {
    const { group, name, digest } = entry;
    const held = this.#session.query((sql) => sql.body(group, name, digest));
    if (held === undefined) return undefined;
    this.#uses.noteRead(group, name, held.usedAt);
    if (held.bytes > SYNC_BODY_BYTES) return this.#track(this.#readLarge(held.body, held.bytes));
    const pieces = this.#session.query((sql) => sql.pieces(held.body, 0, PIECES_PER_BODY)).map(bufferOf);
    const body = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
    return body.length === held.bytes ? body : undefined;
  }

  write(change: Change): Awaitable<Written> {
    const { entry, body, ...headOnly } = change;
    if (entry === undefined) return this.#commit(headOnly, undefined);
    if ((body?.length ?? 0) + ENTRY_OVERHEAD_BYTES > this.#options.maxBytes)
      return this.#refuseTooLarge(headOnly);
    if (body === undefined) return this.#commit(change, undefined);
    if (body.length <= SYNC_BODY_BYTES) return this.#commit(change, { bytes: body });
    return this.#track(this.#writeLarge(change, entry, body));
  }

  /** What the group has learnt is kept; the entry is not, and nobody shall say that it was. */
  #refuseTooLarge(headOnly: Change): Awaitable<Written> {
    return this.#then(this.#commit(headOnly, undefined), (written) =>
      written === "written" ? "failed" : written,
    );
  }

  touch(entries: Iterable<{ readonly group: string; readonly name: string }>): void {
    for (const { group, name } of entries) this.#uses.note(group, name);
  }

  remove(group: string): Awaitable<void> {
    return this.#then(this.#removeBatch(group), (isMore) =>
      isMore ? this.#track(this.#removeRest(group)) : undefined,
    );
  }

  advance(groups: ReadonlyMap<string, number>, at: EpochMs): Awaitable<void> {
    const marks = [...groups];
    if (marks.length > ADVANCE_BATCH) return this.#track(this.#advanceMany(marks, at));
    return this.#advanceBatch(marks, at);
  }

  readFeed(): FeedPosition | undefined {
    return this.#session.query((sql) => sql.feed());
  }

  writeFeed(position: FeedPosition): Awaitable<Written> {
    return this.#session.transact((sql) => (sql.putFeed(position) ? "written" : "refused"));
  }

  size(): StoreSize {
    return this.#session.query((sql) => sql.tally());
  }

  close(): Awaitable<void> {
    if (this.#isClosed) return;
    this.#uses.flush();
    this.#isClosed = true;
    const sweep = this.#sweep.stop();
    if (this.#underWay.size === 0 && sweep === undefined) return this.#session.close();
    return Promise.allSettled([...this.#underWay, sweep]).then(() => this.#session.close());
  }

  // ---- bodies too large for one go

  async #readLarge(body: number, length: number): Promise<Buffer | undefined> {
    const whole = Buffer.allocUnsafe(length);
    let filled = 0;
    for (let index = 0; filled < length; index += READ_SLICE_PIECES) {
      const pieces = this.#session.query((sql) => sql.pieces(body, index, index + READ_SLICE_PIECES));
      if (pieces.length === 0) return undefined; // removed while it was being read
      for (const piece of pieces) filled += bufferOf(piece).copy(whole, filled);
      await nextTurn();
    }
    return whole;
  }

  async #writeLarge(change: Change, entry: Entry, bytes: Buffer): Promise<Written> {
    const { group } = change;
    const stored = this.#session.query((sql) => sql.head(group));
    if (!mayApply(stored, change)) return "refused";
    if (this.#session.query((sql) => sql.body(group, entry.name, entry.digest)) !== undefined) {
      return await this.#commit(change, undefined);
    }
    const body = await this.#session.transact((sql) => {
      const id = sql.nextBody();
      sql.putLoose(id, this.#options.clock.now());
      return id;
    });
    try {
      for (let at = 0; at < bytes.length; at += WRITE_SLICE_BYTES) {
        const to = Math.min(at + WRITE_SLICE_BYTES, bytes.length);
        await this.#session.transact((sql) => putPieces(sql, body, bytes, at, to), to - at);
        await nextTurn();
      }
      return await this.#commit(change, { body, length: bytes.length });
    } catch (error) {
      await this.#giveUp(body);
      throw error;
    }
  }

  async #giveUp(body: number): Promise<void> {
    try {
      await this.#session.transact((sql) => sql.putLoose(body, 0));
      this.#sweep.begin();
    } catch (error) {
      // It is noted as being written: a later sweep takes it for abandoned.
      this.#options.onSurvived("store: body left behind", String(body), error);
    }
  }

  // ---- changes

  #commit(change: Change, newBody: NewBody | undefined): Awaitable<Written> {
    const { clock, maxBytes } = this.#options;
    const outcome = this.#session.transact((sql) => {
      this.#uses.write(sql);
      if (newBody !== undefined && "body" in newBody && !sql.dropLoose(newBody.body)) {
        throw new StoreUnavailable(`${change.group}: the body was swept away while it was being written`);
      }
      const applied = applyChange(sql, change, newBody, clock.now());
      const isOver = evict(sql, maxBytes, applied.keep);
      return { ...applied, isOver, hasLoose: sweepLoose(sql, clock.now()) };
    }, inlineBytes(newBody));
    return this.#then(outcome, ({ applied, keep, isOver, hasLoose }) => {
      if (hasLoose) this.#sweep.begin();
      return isOver ? this.#track(this.#makeRoom({ applied, keep })) : applied ? "written" : "refused";
    });
  }

  async #makeRoom({ applied, keep }: Applied): Promise<Written> {
    let isOver = true;
    while (isOver) {
      await nextTurn();
      isOver = await this.#session.transact((sql) => {
        const isStillOver = evict(sql, this.#options.maxBytes, keep);
        sweepLoose(sql, this.#options.clock.now());
        return isStillOver;
      });
    }
    this.#sweep.begin();
    return applied ? "written" : "refused";
  }

  #advanceBatch(marks: readonly (readonly [string, number])[], at: EpochMs): Awaitable<void> {
    return this.#session.transact((sql) => {
      for (const [group, generation] of marks) sql.advanceHead(group, generation, at);
    });
  }

  async #advanceMany(marks: readonly (readonly [string, number])[], at: EpochMs): Promise<void> {
    for (let from = 0; from < marks.length; from += ADVANCE_BATCH) {
      await this.#advanceBatch(marks.slice(from, from + ADVANCE_BATCH), at);
      await nextTurn();
    }
  }

  /** @returns true when there are entries left */
  #removeBatch(group: string): Awaitable<boolean> {
    return this.#session.transact((sql) => {
      sql.dropHead(group);
      const ids = sql.idsOfGroup(group, REMOVE_BATCH);
      for (const id of ids) sql.dropEntry(id);
      if (sweepLoose(sql, this.#options.clock.now())) this.#sweep.begin();
      return ids.length === REMOVE_BATCH;
    });
  }

  async #removeRest(group: string): Promise<void> {
    while (await this.#removeBatch(group)) await nextTurn();
  }

  // ---- what is sync stays sync

  #then<T, R>(value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> {
    return value instanceof Promise ? this.#track(value.then(next)) : next(value);
  }

  /** So that `close` waits for it. */
  #track<T>(work: Promise<T>): Promise<T> {
    const end = (): void => void this.#underWay.delete(work);
    this.#underWay.add(work);
    work.then(end, end); // its failure is told to whoever holds `work`
    return work;
  }
}

/** How much of a body is written with its entry. */
function inlineBytes(newBody: NewBody | undefined): number {
  return newBody !== undefined && "bytes" in newBody ? newBody.bytes.length : 0;
}

/** The same bytes, seen as a Buffer. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
