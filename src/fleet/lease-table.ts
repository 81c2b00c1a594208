import type { Clock, EpochMs, Ms } from "../clock.ts";
import type { Lease, LeaseEnd, Leases, Taken } from "./leases.ts";

interface Held {
  readonly holder: string;
  readonly token: number;
  readonly lengthMs: Ms;
  endsAt: EpochMs;
  /** Told of its end, once. */
  readonly waiting: Set<(end: LeaseEnd) => void>;
}

/** Where the leases of one process, or of one machine's workers, are kept. In memory: they end with it. */
export class LeaseTable {
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  #lastToken = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The leases as one holder sees them. */
  leases(holder: string): Leases {
    return {
      acquire: (key, lengthMs) => Promise.resolve(this.#acquire(holder, key, lengthMs)),
      ended: (taken, waitMs) => this.#ended(taken, waitMs),
    };
  }

  /** Ends all that a holder has: it is gone. */
  drop(holder: string): void {
    for (const [key, held] of this.#held) {
      if (held.holder === holder) this.#end(key, held, { kind: "lost" });
    }
  }

  #acquire(holder: string, key: string, lengthMs: Ms): Lease | Taken {
    const other = this.#current(key);
    if (other !== undefined) return { kind: "taken", key, token: other.token };
    this.#lastToken = Math.max(this.#lastToken + 1, this.#clock.now() * 1_000);
    const endsAt = this.#clock.now() + lengthMs;
    const held: Held = { holder, token: this.#lastToken, lengthMs, endsAt, waiting: new Set() };
    this.#held.set(key, held);
    return {
      kind: "held",
      key,
      token: held.token,
      renew: () => Promise.resolve(this.#renew(key, held)),
      release: (word) => {
        if (this.#held.get(key) === held) this.#end(key, held, { kind: "released", word });
        return Promise.resolve();
      },
    };
  }

  #renew(key: string, held: Held): boolean {
    if (this.#current(key) !== held) return false;
    held.endsAt = this.#clock.now() + held.lengthMs;
    return true;
  }

  /** The lease of a key that has not run out. */
  #current(key: string): Held | undefined {
    const held = this.#held.get(key);
    if (held === undefined) return undefined;
    const leftMs = held.endsAt - this.#clock.now();
    if (leftMs > 0 && leftMs <= held.lengthMs) return held; // longer: the clock was set back
    this.#end(key, held, { kind: "lost" });
    return undefined;
  }

  #ended({ key, token }: Taken, waitMs: Ms): Promise<LeaseEnd> {
    const giveUpAt = this.#clock.now() + waitMs;
    return new Promise((resolve) => {
      let cancel = (): void => undefined;
      const settle = (end: LeaseEnd): void => {
        cancel();
        this.#held.get(key)?.waiting.delete(settle);
        resolve(end);
      };
      // Whenever it would have run out it may have been renewed since.
      const look = (): void => {
        const held = this.#current(key);
        const leftMs = giveUpAt - this.#clock.now();
        if (held?.token !== token || leftMs <= 0) {
          settle({ kind: held?.token === token ? "late" : "lost" });
          return;
        }
        held.waiting.add(settle);
        cancel = this.#clock.after(Math.min(leftMs, held.endsAt - this.#clock.now()), look);
      };
      look();
    });
  }

  #end(key: string, held: Held, end: LeaseEnd): void {
    this.#held.delete(key);
    for (const settle of [...held.waiting]) settle(end);
  }
}
