import type { Clock, EpochMs, Ms } from "../clock.ts";
import { withinBudget } from "./budget.ts";
import type { Awaitable } from "./store.ts";
import type { OnSurvived } from "./survived.ts";

/** Whether the store can be relied on just now; what /readyz and metrics show. */
export interface StoreState {
  readonly is: "up" | "down";
  /** Since when it has been so. */
  readonly since: EpochMs;
  /** What the last failure said, while down. */
  readonly lastError: string | undefined;
}

/** Who is told of what. */
export interface CircuitOptions {
  readonly clock: Clock;
  /** Called once when it is lost; not for each call. */
  readonly onSurvived: OnSurvived;
  /** Called once when it is there again. */
  readonly onRecovered?: (what: string, downForMs: Ms) => void;
}

/** So long what has failed is left alone; then one call at a time tries it, and the others go without. */
const SKIP_MS = 1_000;

/** Whether one kind of call is tried at all. Closed: yes. Open: not before `retryAt`, then one at a time. */
export class Circuit {
  readonly #what: string;
  readonly #options: CircuitOptions;
  #state: StoreState;
  #retryAt: EpochMs = 0;
  #isProbing = false;

  constructor(what: string, options: CircuitOptions) {
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

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
