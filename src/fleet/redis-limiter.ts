import { type Clock, type EpochMs, type Ms, within } from "../clock.ts";
import {
  LONGEST_REST_MS,
  type Limiter,
  type Limits,
  type LimiterState,
  type Pass,
  type PassEnd,
  PLACE_MS,
  restMs,
} from "./limiter.ts";
import { leftMs, NO_PASS, type RestAndBreaker, stateOf } from "./limiter-rules.ts";
import { busy, refusalOf } from "./limiter-table.ts";
import type { RedisLink } from "./redis-link.ts";

/** The limiter of one upstream, kept in Redis for all nodes. */
export class RedisLimiter implements Limiter {
  readonly #link: RedisLink;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #without: Limiter;
  readonly #keys: readonly [places: string, limiter: string];
  /** Ids of the requests of this node that are under way. */
  readonly #passes = new Set<string>();
  /** What Redis knows of these, as of the last time that this node asked. */
  #known: RestAndBreaker = { restUntil: 0, openings: 0, openUntil: 0 };
  #count = 0;
  /**
   * Those of this node who wait, one behind the other: only the first of them asks Redis again and again. Resolves when
   * all of them are in or wait no more.
   */
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isStaying = false;

  /** @param without the limiter of this process or machine, for while Redis is in trouble */
  constructor(upstream: string, link: RedisLink, limits: Limits, clock: Clock, without: Limiter) {
    this.#link = link;
    this.#limits = limits;
    this.#clock = clock;
    this.#without = without;
    this.#keys = [`larder:1:{${upstream}}:places`, `larder:1:{${upstream}}:limiter`];
  }

  async enter(patienceMs: Ms): Promise<Pass> {
    const giveUpAt = this.#clock.now() + patienceMs;
    // Who comes while others wait must not overtake them.
    const first = this.#waiting > 0 ? 0 : await this.#try(giveUpAt);
    if (typeof first !== "number") return first;
    this.#waiting += 1;
    const before = this.#queue;
    const gone = Promise.withResolvers<undefined>();
    this.#queue = gone.promise;
    try {
      await within(this.#clock, giveUpAt - this.#clock.now(), before);
      return await this.#tryUntil(giveUpAt, patienceMs, first);
    } finally {
      this.#waiting -= 1;
      // Who leaves before his turn does not bring it to who is behind him.
      void before.then(() => gone.resolve(undefined));
    }
  }

  rest(retryAfterMs: Ms | undefined): void {
    void this.#leave(NO_PASS, { kind: "rate-limited", retryAfterMs });
  }

  state(): LimiterState {
    return stateOf(this.#known, this.#clock.now());
  }

  async #tryUntil(giveUpAt: EpochMs, patienceMs: Ms, firstWaitMs: Ms): Promise<Pass> {
    for (let waitMs = firstWaitMs; ;) {
      const leftMs = giveUpAt - this.#clock.now();
      if (leftMs <= 0) throw busy(patienceMs);
      await new Promise<void>((resolve) => void this.#clock.after(Math.min(waitMs, leftMs), resolve));
      const tried = await this.#try(giveUpAt);
      if (typeof tried !== "number") return tried;
      waitMs = tried;
    }
  }

  /** @returns the pass, or after how long to try again; throws a refusal */
  async #try(giveUpAt: EpochMs): Promise<Pass | Ms> {
    const { places, perSecond, burst } = this.#limits;
    const id = `${this.#link.node} ${this.#count++}`;
    const isBounded = perSecond !== Number.POSITIVE_INFINITY;
    const reply = await this.#link.ask(this.#keys[0], (client) =>
      client.larderEnter(
        ...this.#keys,
        id,
        PLACE_MS,
        places,
        isBounded ? perSecond : -1,
        isBounded ? burst : 1,
      ),
    );
    if (!Array.isArray(reply)) return await this.#enterWithout(giveUpAt);
    const parts: readonly unknown[] = reply;
    const [kind, ms, ...known] = parts;
    this.#learn(known);
    if (kind === "admitted") return this.#passOf(id);
    if (kind === "rate-limited" || kind === "breaker") throw refusalOf({ kind, leftMs: Number(ms) });
    return Number(ms);
  }

  /** What another node was told before Redis got into trouble holds all the same. */
  async #enterWithout(giveUpAt: EpochMs): Promise<Pass> {
    const now = this.#clock.now();
    const restLeftMs = leftMs(this.#known.restUntil, now, LONGEST_REST_MS);
    if (restLeftMs > 0) throw refusalOf({ kind: "rate-limited", leftMs: restLeftMs });
    return await this.#without.enter(Math.max(0, giveUpAt - now));
  }

  #passOf(id: string): Pass {
    this.#passes.add(id);
    this.#stay();
    return {
      end: (end) => {
        if (this.#passes.delete(id)) void this.#leave(id, end);
      },
    };
  }

  async #leave(id: string, end: PassEnd): Promise<void> {
    const rest = end.kind === "rate-limited" ? restMs(end.retryAfterMs) : 0;
    // Redis may be in trouble, or get into it before the time is over.
    if (end.kind === "rate-limited") this.#without.rest(end.retryAfterMs);
    const known = await this.#link.ask(this.#keys[0], (client) =>
      client.larderLeave(...this.#keys, id, end.kind, rest),
    );
    if (Array.isArray(known)) this.#learn(known);
  }

  /** Keeps the places of what is still under way. */
  #stay(): void {
    if (this.#isStaying) return;
    this.#isStaying = true;
    this.#clock.after(PLACE_MS / 3, () => {
      this.#isStaying = false;
      if (this.#passes.size === 0) return;
      this.#stay();
      const [places] = this.#keys;
      void this.#link.ask(places, (client) => client.larderStay(places, PLACE_MS, ...this.#passes));
    });
  }

  #learn(values: readonly unknown[]): void {
    const [restUntil = 0, openings = 0, openUntil = 0] = values.map(Number);
    this.#known = { restUntil, openings, openUntil };
  }
}
