import type { EpochMs } from "../clock.ts";
import { PIECE_BYTES } from "./embedded-schema.ts";
import type { HeldEntry, Statements } from "./embedded-statements.ts";
import { isFenced, mayApply, mergeHead, staysAbove } from "./change-rules.ts";
import type { Change, Entry } from "./store.ts";

/** What a stored entry costs beside its body: its row, its index entries, its share of the head. */
export const ENTRY_OVERHEAD_BYTES = 512;

/** At most so many entries are evicted in one transaction, so that it stays short. */
const EVICT_BATCH = 32;
/** At most so many pieces (8 MiB; about 1 ms) and bodies are removed in one transaction. */
const SWEEP_PIECES = 32;
const SWEEP_BODIES = 64;
/** A body that has been in writing for so long has lost its writer. */
const ABANDONED_AFTER_MS = 600_000;

/** The body that comes with a change: to be written now, or written before under an id of its own. */
export type NewBody = { readonly bytes: Buffer } | { readonly body: number; readonly length: number };

/** What became of a change; `keep` is the row that must not be evicted for its own sake, 0 for none. */
export interface Applied {
  readonly applied: boolean;
  readonly keep: number;
}

/** Applies a change; to be called within a transaction. Bodies that it lets go of are left loose. */
export function applyChange(
  sql: Statements,
  change: Change,
  newBody: NewBody | undefined,
  now: EpochMs,
): Applied {
  const stored = sql.head(change.group);
  const isApplied = mayApply(stored, change) && !isTooLate(sql, change.entry);
  const entry = isApplied ? change.entry : undefined;
  if (isApplied) sql.putHead(change.group, mergeHead(stored, change.head));
  if (isApplied && entry === undefined && stored === undefined) sql.dropBareHeads();
  const keep = entry === undefined ? 0 : putEntry(sql, entry, change.head.generation, newBody, now);
  // Written in advance, and not taken after all.
  if (keep === 0 && newBody !== undefined && "body" in newBody) sql.putLoose(newBody.body, 0);
  return { applied: isApplied, keep };
}

function isTooLate(sql: Statements, entry: Entry | undefined): boolean {
  if (entry === undefined) return false;
  return sql
    .held(entry.group, entry.name)
    .some((other) => other.entry !== undefined && isFenced(other.entry, entry));
}

/** @returns the row's id, or 0 when what is held stays above it */
function putEntry(
  sql: Statements,
  entry: Entry,
  headGeneration: number,
  newBody: NewBody | undefined,
  now: EpochMs,
): number {
  const held = sql.held(entry.group, entry.name);
  if (held.some((other) => other.entry !== undefined && staysAbove(other.entry, entry, headGeneration)))
    return 0;
  const { body, length } = takeBody(sql, entry, held, newBody);
  const id = sql.putEntry(entry, body, length, now);
  for (const other of held) {
    if (other.id !== id) sql.dropEntry(other.id);
  }
  return id;
}

/** The body for the entry: the one that is held for its digest already, else the new one, else none. */
function takeBody(
  sql: Statements,
  entry: Entry,
  held: readonly HeldEntry[],
  newBody: NewBody | undefined,
): { body: number | undefined; length: number } {
  const same = held.find((other) => other.body !== undefined && other.entry?.digest === entry.digest);
  if (same !== undefined) {
    if (newBody !== undefined && "body" in newBody) sql.putLoose(newBody.body, 0);
    return { body: same.body, length: same.bytes };
  }
  if (newBody === undefined) return { body: undefined, length: 0 };
  if ("body" in newBody) return newBody;
  const body = sql.nextBody();
  putPieces(sql, body, newBody.bytes, 0, newBody.bytes.length);
  return { body, length: newBody.bytes.length };
}

/** Writes the pieces of a body that begin in [from, to); `from` is a multiple of the piece's size. */
export function putPieces(sql: Statements, body: number, bytes: Buffer, from: number, to: number): void {
  for (let at = from; at < to; at += PIECE_BYTES) {
    sql.putPiece(body, at / PIECE_BYTES, bytes.subarray(at, at + PIECE_BYTES));
  }
}

/**
 * Evicts by least recent use until the bound holds, a batch at most; to be called within a transaction.
 *
 * @returns true when there is more to do
 */
export function evict(sql: Statements, maxBytes: number, keep: number): boolean {
  const { entries, bytes } = sql.tally();
  let excess = bytes + entries * ENTRY_OVERHEAD_BYTES - maxBytes;
  if (excess <= 0) return false;
  const rows = sql.leastUsed(keep, EVICT_BATCH);
  for (const row of rows) {
    if (excess <= 0) return false;
    sql.dropEntry(row.id);
    excess -= row.bytes + ENTRY_OVERHEAD_BYTES;
  }
  return excess > 0 && rows.length === EVICT_BATCH;
}

/**
 * Removes the pieces of loose bodies, a bounded number; to be called within a transaction.
 *
 * @returns true when there is more to do
 */
export function sweepLoose(sql: Statements, now: EpochMs): boolean {
  const before = Math.max(1, now - ABANDONED_AFTER_MS);
  let pieces = SWEEP_PIECES;
  for (let bodies = 0; bodies < SWEEP_BODIES && pieces > 0; bodies += 1) {
    const body = sql.looseBefore(before);
    if (body === undefined) return false;
    const dropped = sql.dropPieces(body, pieces);
    if (dropped < pieces) sql.dropLoose(body);
    pieces -= dropped;
  }
  return sql.looseBefore(before) !== undefined;
}
