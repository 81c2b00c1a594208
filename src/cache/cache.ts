import { type Clock, type EpochMs, type Ms, within } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { Awaitable, Head, Store } from "../store/store.ts";
import { AskedInVain } from "./asked-in-vain.ts";
import type { CacheStatus, ForwardReason } from "./cache-status.ts";
import { Collapse, type Flight } from "./collapse.ts";
import { CurrentFreshness } from "./current-freshness.ts";
import {
  type FillAloneOptions,
  fillAlone,
  type Filled,
  keyOf,
  type OnLowerGeneration,
  type Resource,
} from "./fill.ts";
import type { FeedWord, Lifetimes } from "./freshness.ts";
import { leasedFill } from "./leased-fill.ts";
import type { Held, HeldWithHead, Memory, Representation } from "./memory.ts";
import { Tiers } from "./tiers.ts";

export type { Resource } from "./fill.ts";

/** What a request wants of the cache beyond the resource. */
export interface Ask {
  /** The request has `Cache-Control: no-cache` (or `Pragma`): validate what is older than a few seconds. */
  readonly noCache: boolean;
  /** Digest of a body that turned out to be gone: an entry that promises it counts as nothing. */
  readonly lostDigest?: string;
}

/** Upstream had to be asked, failed, and nothing that may stand in is held. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
  override readonly cause: UpstreamUnavailable;
  readonly status: CacheStatus;

  constructor(cause: UpstreamUnavailable, status: CacheStatus) {
    super(cause.message);
    this.cause = cause;
    this.status = status;
  }
}

/** A stored response to serve, and how it was come by. */
export interface Answer {
  readonly held: Held;
  readonly head: Head;
  readonly status: CacheStatus;
  /** Freshness left, for max-age; negative once stale. */
  readonly ttlMs: Ms;
}

type Outcome = Omit<Extract<CacheStatus, { kind: "forward" }>, "kind" | "ttlMs">;

export interface CacheOptions {
  readonly store: Store;
  readonly memory: Memory;
  readonly clock: Clock;
  readonly lifetimes: Lifetimes;
  /** How long a client waits for upstream while something stale is held. */
  readonly patienceMs: Ms;
  /** How long upstream must keep answering with a lower generation until it is believed. */
  readonly lowerAfterMs: Ms;
  /** Told of each forward that failed, once, whoever waits for it: for which key, and why. */
  readonly onFailure: (key: string, error: unknown) => void;
  readonly onLowerGeneration: OnLowerGeneration;
  readonly fleet: Pick<Fleet, "isShared" | "leases" | "news">;
  /** How long memory is served, at most, without a look at what other nodes have stored. */
  readonly coherenceMs: Ms;
  /** How long one waits for another node that is asking upstream for the same, before it asks itself. */
  readonly followMs: Ms;
  /** What the change feed says of a group, as far as it has been followed; undefined where it says nothing. */
  readonly feed?: (group: string) => FeedWord | undefined;
}

// A node that dies is missed after so long, and one that lives renews its lease three times in it.
const LEASE_MS: Ms = 3_000;

/**
 * A shared cache (RFC 9111) over a store and a memory tier. It knows groups, generations and validators; it knows
 * neither PyPI nor the HTTP server.
 */
export class Cache {
  readonly #options: CacheOptions;
  readonly #tiers: Tiers;
  readonly #freshness: CurrentFreshness;
  readonly #flights: Collapse<Filled>;
  readonly #askedInVain: AskedInVain;

  constructor(options: CacheOptions) {
    this.#options = options;
    const { memory, store, clock, fleet, coherenceMs } = options;
    this.#tiers = new Tiers(memory, store, clock, {
      everyMs: fleet.isShared ? coherenceMs : Number.POSITIVE_INFINITY,
    });
    this.#freshness = new CurrentFreshness(options);
    this.#flights = new Collapse(clock);
    this.#askedInVain = new AskedInVain(clock);
    fleet.news.subscribe((item) => {
      if (item.kind === "changed") this.#tiers.doubt(item.group);
      else if (item.kind === "purged") this.#forget(item.group, item.at);
      else if (item.kind === "listed") this.#freshness.confirmSince(item.at);
    });
  }

  /**
   * Answers from memory, the store or upstream, in this order. Without a promise where memory answers.
   * @throws Unanswered when upstream is needed, fails, and nothing that may stand in is held
   */
  fetch(resource: Resource, ask: Ask): Awaitable<Answer> {
    const found = this.#tiers.find(resource.group, resource.name);
    if (found === undefined || found.held.entry.digest === ask.lostDigest)
      return this.#lookInStore(resource, ask);
    if (!this.#tiers.isCoherent(found)) return this.#compareWithStore(resource, ask);
    return this.#decide(resource, ask, found);
  }

  /**
   * What `use` makes of the answer. A stored body that turns out to be gone (evicted, or a disk that lost it) is a miss: the
   * answer is then fetched anew.
   *
   * @param use gives undefined where the stored body is gone
   * @throws Unanswered as `fetch` does; whatever `use` throws
   */
  async fetchFor<T>(
    resource: Resource,
    ask: Omit<Ask, "lostDigest">,
    use: (answer: Answer) => Awaitable<T | undefined>,
  ): Promise<T> {
    for (let lostDigest: string | undefined; ;) {
      const answer = await this.fetch(resource, lostDigest === undefined ? ask : { ...ask, lostDigest });
      const used = await use(answer);
      if (used !== undefined) return used;
      lostDigest = answer.held.entry.digest;
    }
  }

  /** The same as `fetch` where memory can answer; else undefined, and nothing has been asked for. */
  ready(resource: Resource, ask: Ask): Answer | undefined {
    const found = this.#tiers.find(resource.group, resource.name);
    if (found === undefined || !this.#tiers.isCoherent(found)) return undefined;
    return this.#reused(resource, ask, found);
  }

  /**
   * The stored body of an answer.
   * @returns undefined when it is gone: see `fetchFor`
   */
  body(held: Held): Awaitable<Buffer | undefined> {
    return this.#tiers.body(held);
  }

  /** Keeps what was made ready of an answer, for the next one. */
  keepRepresentation(held: Held, key: string, representation: Representation): void {
    this.#tiers.keepRepresentation(held, key, representation);
  }

  /**
   * Something that tells of every group is shown as of this instant: what was confirmed before it is validated before
   * it is served, on every node, so that nobody is shown a group older than he was told it is (clients.md rule 19).
   */
  confirmSince(at: EpochMs): void {
    if (this.#freshness.confirmSince(at)) this.#options.fleet.news.publish({ kind: "listed", at });
  }

  /**
   * Forgets all that is held of a group, here and on every node. What was asked for before cannot bring it back: it is
   * validated before it is served.
   *
   * @throws StoreUnavailable when the store did not do it, or may not have
   */
  async purge(group: string): Promise<void> {
    const { clock, fleet } = this.#options;
    // What was confirmed in this very millisecond may have been so before.
    const at = clock.now() + 1;
    await this.#tiers.purge(group, at);
    this.#forget(group, at);
    fleet.news.publish({ kind: "purged", group, at });
  }

  /** The change feed told of a newer generation of a group, at this instant. The store is told by who follows it. */
  advance(group: string, generation: number, at: EpochMs): void {
    this.#tiers.advance(group, generation, at);
  }

  /** To be called now and then: see `Tiers.touchStore`. */
  touchStore(): Promise<void> {
    return this.#tiers.touchStore();
  }

  #forget(group: string, at: EpochMs): void {
    const start = keyOf({ group, name: "" });
    const isOfGroup = (key: string): boolean => key.startsWith(start);
    this.#tiers.forget(group, at);
    this.#flights.abandon(isOfGroup);
    this.#askedInVain.forgetAll(isOfGroup);
  }

  async #lookInStore(resource: Resource, ask: Ask): Promise<Answer> {
    const found = await this.#tiers.read(resource.group, resource.name);
    if (found === undefined || found.held.entry.digest === ask.lostDigest) {
      return await this.#forward(resource, ask, undefined);
    }
    return await this.#decide(resource, ask, found);
  }

  async #compareWithStore(resource: Resource, ask: Ask): Promise<Answer> {
    const found = await this.#tiers.compare(resource.group, resource.name);
    if (found === undefined) return await this.#lookInStore(resource, ask); // evicted meanwhile
    return await this.#decide(resource, ask, found);
  }

  #decide(resource: Resource, ask: Ask, found: HeldWithHead): Awaitable<Answer> {
    return this.#reused(resource, ask, found) ?? this.#forward(resource, ask, found);
  }

  /** What is held, where it may be served without waiting for upstream. */
  #reused(resource: Resource, ask: Ask, found: HeldWithHead): Answer | undefined {
    const decision = this.#freshness.decide(resource, found, ask.noCache);
    if (decision === "fresh") return this.#hit(resource, found);
    if (decision === "stale-while-revalidate") {
      if (!this.#askedInVain.has(keyOf(resource))) this.#validateBehind(resource, ask, found);
      return this.#hit(resource, found);
    }
    if (this.#askedInVain.has(keyOf(resource)) && this.#freshness.mayServeStale(resource, found)) {
      return this.#hit(resource, found, "asked-in-vain");
    }
    return undefined;
  }

  #hit(resource: Resource, found: HeldWithHead, detail?: string): Answer {
    const ttlMs = this.#freshness.remainingMs(resource, found);
    return { ...found, ttlMs, status: { kind: "hit", ttlMs, detail } };
  }

  #validateBehind(resource: Resource, ask: Ask, found: HeldWithHead): void {
    if (this.#flights.isUp(keyOf(resource))) return;
    this.#fly(resource, ask, found).result.catch(() => undefined); // #fill has reported it
  }

  async #forward(resource: Resource, ask: Ask, found: HeldWithHead | undefined): Promise<Answer> {
    const flight = this.#fly(resource, ask, found);
    const fwd = this.#forwardReason(resource, ask, found);
    const standIn = found !== undefined && this.#freshness.mayServeStale(resource, found) ? found : undefined;
    try {
      const filled = standIn === undefined ? await flight.result : await this.#withPatience(flight);
      if (filled !== undefined) {
        const { fwdStatus, stored, isKept } = filled;
        const collapsed = flight.collapsed || filled.isFollowed;
        const detail = isKept ? "lower-serial" : undefined;
        return this.#forwarded(resource, filled, { fwd, fwdStatus, stored, collapsed, detail });
      }
    } catch (error) {
      if (!(error instanceof UpstreamUnavailable)) throw error;
      const { collapsed } = flight;
      const outcome = { fwd, fwdStatus: error.status, stored: false, collapsed, detail: error.failure };
      if (standIn !== undefined) return this.#forwarded(resource, standIn, outcome);
      throw new Unanswered(error, { kind: "forward", ...outcome, ttlMs: undefined });
    }
    if (standIn === undefined) throw new Error("patience without anything to stand in");
    const { collapsed } = flight;
    const outcome = { fwd, fwdStatus: undefined, stored: false, collapsed, detail: "patience" };
    return this.#forwarded(resource, standIn, outcome);
  }

  #forwarded(resource: Resource, { held, head }: HeldWithHead, outcome: Outcome): Answer {
    const ttlMs = this.#freshness.remainingMs(resource, { held, head });
    return { held, head, ttlMs, status: { kind: "forward", ...outcome, ttlMs } };
  }

  #forwardReason(resource: Resource, ask: Ask, found: HeldWithHead | undefined): ForwardReason {
    if (found === undefined) return "miss";
    return ask.noCache && this.#freshness.remainingMs(resource, found) > 0 ? "request" : "stale";
  }

  /** @returns undefined when patience ended first. Counted from the flight's start: who comes later waits for what is left. */
  async #withPatience(flight: Flight<Filled>): Promise<Filled | undefined> {
    const { clock, patienceMs } = this.#options;
    const leftMs = Math.min(patienceMs, patienceMs - (clock.now() - flight.startedAt));
    return leftMs <= 0 ? undefined : await within(clock, leftMs, flight.result);
  }

  #fly(resource: Resource, ask: Ask, found: HeldWithHead | undefined): Flight<Filled> {
    return this.#flights.join(keyOf(resource), () => this.#fill(resource, ask, found));
  }

  async #fill(resource: Resource, ask: Ask, found: HeldWithHead | undefined): Promise<Filled> {
    const { fleet } = this.#options;
    try {
      const filled = fleet.isShared
        ? await this.#fillWithOthers(resource, ask, found)
        : await fillAlone(resource, found, this.#fillOptions());
      // What is stale on arrival would be asked for with each request.
      const isInVain = filled.isKept || this.#freshness.isStaleOnArrival(resource, filled);
      if (isInVain) this.#askedInVain.note(keyOf(resource));
      else this.#askedInVain.forget(keyOf(resource));
      return filled;
    } catch (error) {
      this.#askedInVain.note(keyOf(resource));
      this.#options.onFailure(keyOf(resource), error);
      throw error;
    }
  }

  async #fillWithOthers(resource: Resource, ask: Ask, found: HeldWithHead | undefined): Promise<Filled> {
    const { fleet, followMs } = this.#options;
    const filled = await leasedFill(resource, found, {
      ...this.#fillOptions(),
      leases: fleet.leases,
      leaseMs: LEASE_MS,
      followMs,
      lostDigest: ask.lostDigest,
      isFresh: (stored) => this.#freshness.isFresh(resource, stored, ask.noCache),
    });
    if (filled.isChanged) fleet.news.publish({ kind: "changed", group: resource.group });
    return filled;
  }

  #fillOptions(): FillAloneOptions {
    const { clock, lowerAfterMs, onLowerGeneration } = this.#options;
    return { tiers: this.#tiers, clock, lowerAfterMs, onLowerGeneration };
  }
}
