import type { Clock, EpochMs, Ms } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { transferMs, withinBudget } from "./budget.ts";
import { Circuit, type CircuitOptions, messageOf, type StoreState } from "./circuit.ts";
import {
  type Awaitable,
  type Change,
  type Entry,
  type FeedPosition,
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
  /** The same goes for the change feed: what it has not marked for sure it must not claim to have followed. */
  advance(groups: ReadonlyMap<string, number>, at: EpochMs): Awaitable<void>;
  readFeed(): Awaitable<FeedPosition | undefined>;
  writeFeed(position: FeedPosition): Awaitable<Written>;
}

/** How long a store may take, and who is told when it fails. */
export interface GuardOptions extends CircuitOptions {
  /** What a call may take, if it moves no large body; `transferMs` is added for those. */
  readonly budgetMs: Ms;
}

/** What must be done for sure may take long: no request waits for it. */
const FOR_SURE_BUDGET_FACTOR = 20;
/** And may take longer for each group that it is about. */
const MS_PER_GROUP = 1;

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
  const forSure = <T>(what: string, work: () => Awaitable<T>, moreMs = 0): Awaitable<T> =>
    doForSure(what, work, clock, budgetMs * FOR_SURE_BUDGET_FACTOR + moreMs);

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
    remove: (group) => forSure(`remove ${group}`, () => store.remove(group)),
    advance: (groups, at) => forSure("advance", () => store.advance(groups, at), groups.size * MS_PER_GROUP),
    readFeed: () => forSure("read the feed's position", () => store.readFeed()),
    writeFeed: (position) => forSure("write the feed's position", () => store.writeFeed(position)),
    size: () =>
      reading.call(budgetMs, "", (): Awaitable<StoreSize> => store.size(), { entries: 0, bytes: 0 }),
    close: () => store.close(),
    state: () => worstOf([reading.state(), writing.state(), touching.state()]),
  };
}

/** @throws StoreUnavailable when it was not done, or may not have been */
function doForSure<T>(what: string, work: () => Awaitable<T>, clock: Clock, budgetMs: Ms): Awaitable<T> {
  try {
    const done = work();
    if (!(done instanceof Promise)) return done;
    return withinBudget(clock, budgetMs, done).catch((error: unknown) => {
      throw notDone(what, error);
    });
  } catch (error) {
    throw notDone(what, error);
  }
}

function notDone(what: string, cause: unknown): StoreUnavailable {
  return new StoreUnavailable(`${what}: ${messageOf(cause)}`, { cause });
}

function worstOf(states: readonly StoreState[]): StoreState {
  const down = states.filter(({ is }) => is === "down");
  const shown = down.length > 0 ? down : states;
  // Down since the first went, up since the last came back.
  return shown.reduce((a, b) => (down.length > 0 === a.since <= b.since ? a : b));
}
