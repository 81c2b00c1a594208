import type { Clock, Ms } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { transferMs, withinBudget } from "./budget.ts";
import { Circuit, type CircuitOptions, messageOf, type StoreState } from "./circuit.ts";
import {
  type Awaitable,
  type Change,
  type Entry,
  type Found,
  SILENT,
  type Store,
  type StoreSize,
  type Written,
} from "./store.ts";

/** A store that fails no request. */
export interface GuardedStore extends Store {
  state(): StoreState;
  /**
   * As `Store.remove`, but never skipped and never silent: whoever purges must know that it was done.
   * @throws StoreUnavailable when it was not, or may not have been
   */
  remove(group: string): Awaitable<void>;
}

/** How long a store may take, and who is told when it fails. */
export interface GuardOptions extends CircuitOptions {
  /** What a call may take, if it moves no large body; `transferMs` is added for those. */
  readonly budgetMs: Ms;
}

/** Removing a group may be long, and an operator waits for it. */
const REMOVE_BUDGET_FACTOR = 20;

/**
 * A broken store is a cold store: a call that fails, or does not answer within the budget, finds nothing, and the
 * request goes on to upstream. After a failure the store is skipped for a second, so that a hanging one does not cost
 * each request the budget. It recovers by itself.
 *
 * Reading, writing and touching each have their own circuit: a Redis that is full and refuses to write still reads.
 * What the store answers without a promise is answered without one.
 */
export function guard(store: Store, options: GuardOptions): GuardedStore {
  const { budgetMs, clock } = options;
  const reading = new Circuit("store: read", options);
  const writing = new Circuit("store: write", options);
  const touching = new Circuit("store: touch", options);

  return {
    read: (group, name) =>
      reading.call(budgetMs, group, (): Awaitable<Found> => store.read(group, name), SILENT),
    readBody: (entry: Entry) =>
      reading.call(
        budgetMs + transferMs(entry.bytes),
        entry.group,
        (): Awaitable<Buffer | undefined> => store.readBody(entry),
        undefined,
      ),
    write: (change: Change) =>
      writing.call(
        budgetMs + transferMs(change.body?.length ?? 0),
        change.group,
        (): Awaitable<Written> => store.write(change),
        "failed",
      ),
    touch: (entries) => touching.call(budgetMs, "", () => store.touch(entries), undefined),
    remove: (group) => removeForSure(store, group, clock, budgetMs * REMOVE_BUDGET_FACTOR),
    size: () =>
      reading.call(budgetMs, "", (): Awaitable<StoreSize> => store.size(), { entries: 0, bytes: 0 }),
    close: () => store.close(),
    state: () => worstOf([reading.state(), writing.state(), touching.state()]),
  };
}

function removeForSure(store: Store, group: string, clock: Clock, budgetMs: Ms): Awaitable<void> {
  try {
    const removed = store.remove(group);
    if (!(removed instanceof Promise)) return;
    return withinBudget(clock, budgetMs, removed).catch((error: unknown) => {
      throw notRemoved(group, error);
    });
  } catch (error) {
    throw notRemoved(group, error);
  }
}

function notRemoved(group: string, cause: unknown): StoreUnavailable {
  return new StoreUnavailable(`remove ${group}: ${messageOf(cause)}`, { cause });
}

function worstOf(states: readonly StoreState[]): StoreState {
  const down = states.filter(({ is }) => is === "down");
  const shown = down.length > 0 ? down : states;
  // Down since the first went, up since the last came back.
  return shown.reduce((a, b) => (down.length > 0 === a.since <= b.since ? a : b));
}
