import type { Clock, EpochMs, Ms } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { transferMs, withinBudget } from "./budget.ts";
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
import type { OnSurvived } from "./survived.ts";

/** Whether the store can be relied on just now; what /readyz and metrics show. */
export interface StoreState {
  readonly is: "up" | "down";
  /** Since when it has been so. */
  readonly since: EpochMs;
  /** What the last failure said, while down. */
  readonly lastError: string | undefined;
}

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
export interface GuardOptions {
  /** What a call may take, if it moves no large body; `transferMs` is added for those. */
  readonly budgetMs: Ms;
  readonly clock: Clock;
  /** Called once when the store is lost to reading, to writing or to touching; not for each call. */
  readonly onSurvived: OnSurvived;
  /** Called once when it is there again. */
  readonly onRecovered?: (what: string, downForMs: Ms) => void;
}

/** So long a store that has failed is left alone; then one call at a time tries it, and the others go without. */
const SKIP_MS = 1_000;
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

/** Whether one kind of call is tried at all. Closed: yes. Open: not before `retryAt`, then one at a time. */
class Circuit {
  readonly #what: string;
  readonly #options: GuardOptions;
  #state: StoreState;
  #retryAt: EpochMs = 0;
  #isProbing = false;

  constructor(what: string, options: GuardOptions) {
    this.#what = what;
    this.#options = options;
    this.#state = { is: "up", since: options.clock.now(), lastError: undefined };
  }

  state(): StoreState {
    return this.#state;
  }

  /** What `work` gives, or `otherwise` where it is not tried, fails, or takes longer than `budgetMs`. */
  call<T>(budgetMs: Ms, key: string, work: () => Awaitable<T>, otherwise: T): Awaitable<T> {
    const isProbe = this.#state.is === "down";
    if (isProbe && (this.#isProbing || this.#isSkipped())) return otherwise;
    if (isProbe) this.#isProbing = true;
    try {
      const result = work();
      if (result instanceof Promise) return this.#wait(budgetMs, key, result, otherwise, isProbe);
      this.#succeeded(isProbe);
      return result;
    } catch (error) {
      this.#failed(key, error, isProbe);
      return otherwise;
    }
  }

  async #wait<T>(budgetMs: Ms, key: string, work: Promise<T>, otherwise: T, isProbe: boolean): Promise<T> {
    try {
      const result = await withinBudget(this.#options.clock, budgetMs, work);
      this.#succeeded(isProbe);
      return result;
    } catch (error) {
      this.#failed(key, error, isProbe);
      return otherwise;
    }
  }

  /** A call that was begun before the failure does not undo it: only a probe does. */
  #succeeded(isProbe: boolean): void {
    if (!isProbe) return;
    this.#isProbing = false;
    const { clock, onRecovered } = this.#options;
    const downForMs = clock.now() - this.#state.since;
    this.#state = { is: "up", since: clock.now(), lastError: undefined };
    onRecovered?.(this.#what, downForMs);
  }

  #isSkipped(): boolean {
    const leftMs = this.#retryAt - this.#options.clock.now();
    return leftMs > 0 && leftMs <= SKIP_MS; // longer: the clock was set back
  }

  #failed(key: string, error: unknown, isProbe: boolean): void {
    if (isProbe) this.#isProbing = false;
    const { clock, onSurvived } = this.#options;
    const wasUp = this.#state.is === "up";
    this.#retryAt = clock.now() + SKIP_MS;
    this.#state = { is: "down", since: wasUp ? clock.now() : this.#state.since, lastError: messageOf(error) };
    if (wasUp) onSurvived(this.#what, key, error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
