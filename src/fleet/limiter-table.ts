import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Limiter, Limits, LimiterState, Pass } from "./limiter.ts";
import {
  type Admission,
  admit,
  leave,
  type LimiterRecord,
  newRecord,
  rest,
  stateOf,
} from "./limiter-rules.ts";

interface Waiting {
  readonly holder: string;
  /** Tries to enter. @returns whether it has been settled */
  readonly look: () => boolean;
  /** Waits no more. */
  readonly giveUp: () => void;
}

/** The limiter of one upstream, kept in this process: for itself, or for all workers of the machine. */
export class LimiterTable {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #record: LimiterRecord;
  /** First come, first served. */
  readonly #queue = new Set<Waiting>();
  /** Pass ids, by who holds them. */
  readonly #holders = new Map<string, Set<string>>();
  #count = 0;

  constructor(limits: Limits, clock: Clock) {
    this.#clock = clock;
    this.#limits = limits;
    this.#record = newRecord(limits, clock.now());
  }

  /** The limiter as one holder sees it. */
  limiter(holder: string): Limiter {
    return {
      enter: (patienceMs) => this.#enter(holder, patienceMs),
      rest: (retryAfterMs) => this.rest(retryAfterMs),
      state: () => this.state(),
    };
  }

  rest(retryAfterMs: Ms | undefined): void {
    rest(this.#record, retryAfterMs, this.#clock.now());
    this.#serveQueue(); // with a refusal
  }

  state(): LimiterState {
    return stateOf(this.#record, this.#clock.now());
  }

  /** Ends all passes of a holder that is gone, and its waiting for others. */
  drop(holder: string): void {
    for (const waiting of [...this.#queue]) if (waiting.holder === holder) waiting.giveUp();
    for (const id of this.#holders.get(holder) ?? [])
      leave(this.#record, id, { kind: "neither" }, this.#clock.now());
    this.#holders.delete(holder);
    this.#serveQueue();
  }

  #enter(holder: string, patienceMs: Ms): Promise<Pass> {
    // Who comes while others wait must not overtake them.
    const first = this.#queue.size > 0 ? undefined : this.#tryEnter(holder);
    if (first !== undefined && first.kind !== "wait") return settled(first);
    return new Promise((resolve, reject) => {
      let cancelAgain = (): void => undefined;
      const end = (settle: () => void): true => {
        cancelPatience();
        cancelAgain();
        this.#queue.delete(waiting);
        settle();
        return true;
      };
      const look = (): boolean => {
        cancelAgain();
        const tried = this.#tryEnter(holder);
        if (tried.kind === "pass") return end(() => resolve(tried.pass));
        if (tried.kind === "refused") return end(() => reject(tried.error));
        cancelAgain = this.#clock.after(tried.ms, () => this.#serveQueue());
        return false;
      };
      const giveUp = (): void => void end(() => reject(busy(patienceMs)));
      const waiting: Waiting = { holder, look, giveUp };
      const cancelPatience = this.#clock.after(patienceMs, () => {
        giveUp();
        this.#serveQueue(); // the next one is the first now, who alone has a timer
      });
      this.#queue.add(waiting);
      this.#serveQueue();
    });
  }

  #serveQueue(): void {
    for (const waiting of [...this.#queue]) if (!waiting.look()) return;
  }

  #tryEnter(holder: string): Tried {
    const id = `${holder} ${this.#count++}`;
    const admission = admit(this.#record, id, Number.POSITIVE_INFINITY, this.#limits, this.#clock.now());
    if (admission.kind === "wait") return admission;
    if (admission.kind !== "admitted") return { kind: "refused", error: refusalOf(admission) };
    return { kind: "pass", pass: this.#passOf(holder, id) };
  }

  #passOf(holder: string, id: string): Pass {
    const ids = this.#holders.get(holder) ?? new Set();
    this.#holders.set(holder, ids.add(id));
    return {
      end: (end) => {
        // Once: and not for a holder that was dropped.
        if (!ids.delete(id) || this.#holders.get(holder) !== ids) return;
        leave(this.#record, id, end, this.#clock.now());
        this.#serveQueue();
      },
    };
  }
}

type Tried =
  | { readonly kind: "pass"; readonly pass: Pass }
  | { readonly kind: "refused"; readonly error: UpstreamUnavailable }
  | { readonly kind: "wait"; readonly ms: Ms };

function settled(tried: Exclude<Tried, { kind: "wait" }>): Promise<Pass> {
  return tried.kind === "pass" ? Promise.resolve(tried.pass) : Promise.reject(tried.error);
}

/** What a refusal is to who wanted to ask upstream. */
export function refusalOf(refused: Extract<Admission, { leftMs: Ms }>): UpstreamUnavailable {
  const { kind, leftMs: retryAfterMs } = refused;
  const message =
    kind === "breaker" ? "upstream has failed too often in a row" : "upstream asked to be left alone";
  return new UpstreamUnavailable(kind, message, { retryAfterMs });
}

/** Patience was over before a place came free. */
export function busy(patienceMs: Ms): UpstreamUnavailable {
  return new UpstreamUnavailable("busy", `no request upstream could be sent within ${patienceMs} ms`);
}
