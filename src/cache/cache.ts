import type { Clock, EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Awaitable, Head, Store } from "../store/store.ts";
import type { CacheStatus, ForwardReason } from "./cache-status.ts";
import { Collapse, type Flight } from "./collapse.ts";
import { type Filled, fill, type OnLowerGeneration, type Resource } from "./fill.ts";
import { type Lifetimes, mayServeStale, remainingMs, reuse } from "./freshness.ts";
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
}

export interface CacheOptions {
  readonly store: Store;
  readonly memory: Memory;
  readonly clock: Clock;
  readonly lifetimes: Lifetimes;
  /** How long a client waits for upstream while something stale is held. */
  readonly patienceMs: Ms;
  /** How long upstream must keep answering with a lower generation until it is believed. */
  readonly lowerAfterMs: Ms;
  /** Told of a failure that no client was shown: what was being done, for which key, and why it failed. */
  readonly onSurvived: (what: string, key: string, error: unknown) => void;
  readonly onLowerGeneration: OnLowerGeneration;
}

// After upstream was asked in vain, what is held goes out without asking for so long: a client that installs sixty
// packages must not wait out its patience for each request of each.
const ASKED_IN_VAIN_MS: Ms = 5_000;
const MAX_ASKED_IN_VAIN = 10_000;

/**
 * A shared cache (RFC 9111) over a store and a memory tier. It knows groups, generations and validators; it knows
 * neither PyPI nor HTTP.
 */
export class Cache {
  readonly #options: CacheOptions;
  readonly #tiers: Tiers;
  readonly #flights: Collapse<Filled>;
  readonly #askedInVain = new Map<string, EpochMs>();

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#tiers = new Tiers(options.memory, options.store);
    this.#flights = new Collapse(options.clock);
  }

  /**
   * Answers from memory, the store or upstream, in this order. Without a promise where memory answers.
   * @throws Unanswered when upstream is needed, fails, and nothing that may stand in is held
   */
  fetch(resource: Resource, ask: Ask): Awaitable<Answer> {
    const found = this.#tiers.find(resource.group, resource.name);
    if (found === undefined || found.held.entry.digest === ask.lostDigest)
      return this.#lookInStore(resource, ask);
    return this.#decide(resource, ask, found);
  }

  /**
   * The stored body of an answer.
   * @returns undefined when it is gone: fetch again with `lostDigest`
   */
  body(held: Held): Awaitable<Buffer | undefined> {
    return this.#tiers.body(held);
  }

  /** Keeps what was made ready of an answer, for the next one. */
  keepRepresentation(held: Held, key: string, representation: Representation): void {
    this.#tiers.keepRepresentation(held, key, representation);
  }

  /** Freshness left, for max-age and ttl; negative once stale. */
  remainingMs(held: Held, head: Head): Ms {
    return remainingMs(held.entry, head, this.#options.lifetimes, this.#options.clock.now());
  }

  /** To be called now and then: see `Tiers.touchStore`. */
  touchStore(): Promise<void> {
    return this.#tiers.touchStore();
  }

  async #lookInStore(resource: Resource, ask: Ask): Promise<Answer> {
    const found = await this.#tiers.read(resource.group, resource.name);
    if (found === undefined || found.held.entry.digest === ask.lostDigest) {
      return await this.#forward(resource, ask, undefined);
    }
    return await this.#decide(resource, ask, found);
  }

  #decide(resource: Resource, ask: Ask, found: HeldWithHead): Awaitable<Answer> {
    const now = this.#options.clock.now();
    const decision = reuse(found.held.entry, found.head, this.#options.lifetimes, now, ask.noCache);
    if (decision === "fresh") return this.#hit(found);
    if (decision === "stale-while-revalidate") {
      if (!this.#wasAskedInVain(resource, now)) this.#validateBehind(resource, found);
      return this.#hit(found);
    }
    if (this.#wasAskedInVain(resource, now) && this.#mayServeStale(found))
      return this.#hit(found, "asked-in-vain");
    return this.#forward(resource, ask, found);
  }

  #hit(found: HeldWithHead, detail?: string): Answer {
    return { ...found, status: { kind: "hit", ttlMs: this.remainingMs(found.held, found.head), detail } };
  }

  #validateBehind(resource: Resource, found: HeldWithHead): void {
    const flight = this.#fly(resource, found);
    if (!flight.collapsed) this.#surviveFailure(flight, resource);
  }

  async #forward(resource: Resource, ask: Ask, found: HeldWithHead | undefined): Promise<Answer> {
    const flight = this.#fly(resource, found);
    const fwd = this.#forwardReason(found, ask);
    const standIn = found !== undefined && this.#mayServeStale(found) ? found : undefined;
    try {
      if (standIn === undefined) return this.#forwarded(await flight.result, fwd, flight.collapsed);
      const filled = await this.#withPatience(flight);
      if (filled !== undefined) return this.#forwarded(filled, fwd, flight.collapsed);
      this.#surviveFailure(flight, resource);
      return this.#standIn(standIn, fwd, flight.collapsed, undefined, "patience");
    } catch (error) {
      if (!(error instanceof UpstreamUnavailable)) throw error;
      return this.#failed(standIn, fwd, flight.collapsed, error);
    }
  }

  #failed(
    standIn: HeldWithHead | undefined,
    fwd: ForwardReason,
    collapsed: boolean,
    error: UpstreamUnavailable,
  ): Answer {
    const { status, failure } = error;
    if (standIn !== undefined) return this.#standIn(standIn, fwd, collapsed, status, failure);
    throw new Unanswered(error, {
      kind: "forward",
      fwd,
      fwdStatus: status,
      stored: false,
      collapsed,
      ttlMs: undefined,
      detail: failure,
    });
  }

  #forwardReason(found: HeldWithHead | undefined, ask: Ask): ForwardReason {
    if (found === undefined) return "miss";
    return ask.noCache && this.remainingMs(found.held, found.head) > 0 ? "request" : "stale";
  }

  #forwarded(filled: Filled, fwd: ForwardReason, collapsed: boolean): Answer {
    const { held, head, fwdStatus, stored, isKept } = filled;
    const detail = isKept ? "lower-generation" : undefined;
    const ttlMs = this.remainingMs(held, head);
    return { held, head, status: { kind: "forward", fwd, fwdStatus, stored, collapsed, ttlMs, detail } };
  }

  #standIn(
    found: HeldWithHead,
    fwd: ForwardReason,
    collapsed: boolean,
    fwdStatus: number | undefined,
    detail: string,
  ): Answer {
    const ttlMs = this.remainingMs(found.held, found.head);
    return { ...found, status: { kind: "forward", fwd, fwdStatus, stored: false, collapsed, ttlMs, detail } };
  }

  #mayServeStale(found: HeldWithHead): boolean {
    return mayServeStale(found.held.entry, found.head, this.#options.lifetimes, this.#options.clock.now());
  }

  /** @returns undefined when patience ended first. Counted from the flight's start: nobody waits twice for it. */
  async #withPatience(flight: Flight<Filled>): Promise<Filled | undefined> {
    const { clock, patienceMs } = this.#options;
    const leftMs = patienceMs - (clock.now() - flight.startedAt);
    if (leftMs <= 0) return undefined;
    let cancel = (): void => undefined;
    const ended = new Promise<undefined>((resolve) => {
      cancel = clock.after(leftMs, () => resolve(undefined));
    });
    try {
      return await Promise.race([flight.result, ended]);
    } finally {
      cancel();
    }
  }

  #surviveFailure(flight: Flight<Filled>, resource: Resource): void {
    flight.result.catch((error: unknown) => {
      this.#options.onSurvived("validate", flightKey(resource), error);
    });
  }

  #wasAskedInVain(resource: Resource, now: EpochMs): boolean {
    const at = this.#askedInVain.get(flightKey(resource));
    return at !== undefined && now - at < ASKED_IN_VAIN_MS;
  }

  #fly(resource: Resource, found: HeldWithHead | undefined): Flight<Filled> {
    return this.#flights.join(flightKey(resource), () => this.#fill(resource, found));
  }

  async #fill(resource: Resource, found: HeldWithHead | undefined): Promise<Filled> {
    const { clock, lowerAfterMs, onLowerGeneration } = this.#options;
    try {
      const filled = await fill(resource, found, {
        tiers: this.#tiers,
        clock,
        lowerAfterMs,
        onLowerGeneration,
      });
      if (filled.isKept) this.#noteInVain(resource);
      else this.#askedInVain.delete(flightKey(resource));
      return filled;
    } catch (error) {
      this.#noteInVain(resource);
      throw error;
    }
  }

  #noteInVain(resource: Resource): void {
    const key = flightKey(resource);
    this.#askedInVain.delete(key);
    this.#askedInVain.set(key, this.#options.clock.now());
    if (this.#askedInVain.size <= MAX_ASKED_IN_VAIN) return;
    for (const oldest of this.#askedInVain.keys()) {
      this.#askedInVain.delete(oldest);
      return;
    }
  }
}

function flightKey(resource: Resource): string {
  return `${resource.group} ${resource.name}`;
}
