import type { Clock, EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Awaitable, Entry, Found, Head, Store } from "../store/store.ts";
import type { CacheStatus, ForwardReason } from "./cache-status.ts";
import { Collapse, type Flight } from "./collapse.ts";
import { type Lifetimes, mayServeStale, remainingMs, reuse } from "./freshness.ts";
import { type Held, type HeldWithHead, Memory, type Representation } from "./memory.ts";
import { type Loaded, NO_HEAD, type Settled, settle } from "./settle.ts";

/** Something upstream has: where its entry is filed, and how to ask for it. */
export interface Resource {
  readonly group: string;
  readonly name: string;
  /**
   * Asks upstream; with `held`, whether that is still current.
   * @throws UpstreamUnavailable when upstream could not be asked or did not make sense
   */
  load(held: Entry | undefined): Promise<Loaded>;
}

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

/** What the cache tells the operator. Each is called once per event. */
export interface CacheEvents {
  /** A failure that no client was shown: what was being done, for which key, and why it failed. */
  onSurvived(what: string, key: string, error: unknown): void;
  /** Upstream answered with a lower generation than the one held. */
  onLowerGeneration(key: string, known: number, answered: number | undefined, outcome: "kept" | "lowered"): void;
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
  readonly events: CacheEvents;
}

/** What a forward brought. */
interface Filled extends HeldWithHead {
  readonly fwdStatus: number;
  readonly stored: boolean;
  readonly detail: string | undefined;
}

// After upstream was asked in vain, what is held goes out without asking for so long: a client that installs sixty
// packages must not wait out its patience for each request of each.
const ASKED_IN_VAIN_MS: Ms = 5_000;
const MAX_ASKED_IN_VAIN = 10_000;

// Someone else's newer answer may come in between reading and writing; more than a few times in a row is no race.
const MAX_WRITE_TRIES = 4;

/**
 * A shared cache (RFC 9111) over a store and a memory tier. It knows groups, generations and validators; it knows
 * neither PyPI nor HTTP.
 */
export class Cache {
  readonly #options: CacheOptions;
  readonly #flights: Collapse<Filled>;
  readonly #askedInVain = new Map<string, EpochMs>();

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#flights = new Collapse(options.clock);
  }

  /**
   * Answers from memory, the store or upstream, in this order. Without a promise where memory answers.
   * @throws Unanswered when upstream is needed, fails, and nothing that may stand in is held
   */
  fetch(resource: Resource, ask: Ask): Awaitable<Answer> {
    const found = this.#options.memory.find(resource.group, resource.name);
    if (found === undefined || found.held.entry.digest === ask.lostDigest) return this.#lookInStore(resource, ask);
    return this.#decide(resource, ask, found);
  }

  /**
   * The stored body of an answer.
   * @returns undefined when it is gone: fetch again with `lostDigest`
   */
  body(held: Held): Awaitable<Buffer | undefined> {
    if (held.body !== undefined) return held.body;
    const body = this.#options.store.readBody(held.entry);
    return body instanceof Promise ? body.then((late) => this.#keepBody(held, late)) : this.#keepBody(held, body);
  }

  /** Keeps what was made ready of an answer, for the next one. */
  keepRepresentation(held: Held, key: string, representation: Representation): void {
    this.#options.memory.keepRepresentation(held, key, representation);
  }

  /** Freshness left, for max-age and ttl; negative once stale. */
  remainingMs(held: Held, head: Head): Ms {
    return remainingMs(held.entry, head, this.#options.lifetimes, this.#options.clock.now());
  }

  /** Tells the store what was used from memory, so that its least recently used is truly that. */
  async touchStore(): Promise<void> {
    const used = this.#options.memory.takeUsed();
    if (used.length > 0) await this.#options.store.touch(used);
  }

  #keepBody(held: Held, body: Buffer | undefined): Buffer | undefined {
    if (body === undefined) this.#options.memory.drop(held.entry.group, held.entry.name);
    else this.#options.memory.keepBody(held, body);
    return body;
  }

  async #lookInStore(resource: Resource, ask: Ask): Promise<Answer> {
    const found = await this.#read(resource.group, resource.name);
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
    if (this.#wasAskedInVain(resource, now) && this.#mayServeStale(found)) return this.#hit(found, "asked-in-vain");
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
    const { held, head, fwdStatus, stored, detail } = filled;
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
      this.#options.events.onSurvived("validate", flightKey(resource), error);
    });
  }

  #wasAskedInVain(resource: Resource, now: EpochMs): boolean {
    const at = this.#askedInVain.get(flightKey(resource));
    return at !== undefined && now - at < ASKED_IN_VAIN_MS;
  }

  #fly(resource: Resource, found: HeldWithHead | undefined): Flight<Filled> {
    return this.#flights.join(flightKey(resource), () => this.#fill(resource, found));
  }

  /** One forward: ask upstream, decide what its answer means, store that. */
  async #fill(resource: Resource, found: HeldWithHead | undefined): Promise<Filled> {
    try {
      const loaded = await resource.load(found?.held.entry);
      const filled = await this.#take(resource, found, loaded);
      if (filled.detail === "lower-generation") this.#noteInVain(resource);
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

  async #take(resource: Resource, found: HeldWithHead | undefined, loaded: Loaded): Promise<Filled> {
    const { clock, lowerAfterMs } = this.#options;
    let held = found;
    let known = await this.#knownHead(resource, found);
    for (let tries = 1; ; tries++) {
      const context = {
        group: resource.group,
        name: resource.name,
        head: known,
        held: held?.held.entry,
        now: clock.now(),
        lowerAfterMs,
      };
      const settled = settle(loaded, context);
      const outcome = await this.#write(settled, known, resource.group);
      if (outcome !== "refused" || tries === MAX_WRITE_TRIES) {
        return this.#took(resource, held, known, loaded, settled, outcome === "written");
      }
      const newer = await this.#options.store.read(resource.group, resource.name);
      known = newer.head;
      held = (await this.#remember(newer)) ?? held;
    }
  }

  /** What is known of the group by now: other resources of it may have been answered since the request began. */
  async #knownHead(resource: Resource, found: HeldWithHead | undefined): Promise<Head | undefined> {
    const { memory, store } = this.#options;
    return memory.head(resource.group) ?? (await store.read(resource.group, resource.name)).head ?? found?.head;
  }

  async #write(settled: Settled, known: Head | undefined, group: string): Promise<"written" | "refused" | "failed"> {
    const { store } = this.#options;
    const { head, entry, body, alias } = settled;
    const basis = known?.generation ?? 0;
    const change = { group, head, basis, ...(entry && { entry }), ...(body && { body }) };
    const outcome = await store.write(change);
    if (outcome === "written" && alias !== undefined) {
      await store.write({ group, head, basis: head.generation, entry: alias });
    }
    return outcome;
  }

  #took(
    resource: Resource,
    found: HeldWithHead | undefined,
    known: Head | undefined,
    loaded: Loaded,
    settled: Settled,
    stored: boolean,
  ): Filled {
    const { memory, events } = this.#options;
    const { head, entry, body, alias, surprise } = settled;
    if (surprise !== undefined) {
      const answered = loaded.kind === "response" ? loaded.generation : found?.held.entry.generation;
      events.onLowerGeneration(flightKey(resource), known?.generation ?? 0, answered, surprise);
    }
    const fwdStatus = loaded.kind === "response" ? 200 : loaded.kind === "not-modified" ? 304 : loaded.status;
    const detail = surprise === "kept" ? "lower-generation" : undefined;
    if (entry === undefined) {
      if (found === undefined) throw new Error("kept what is not held");
      memory.setHead(resource.group, head);
      return { held: found.held, head, fwdStatus, stored: false, detail };
    }
    const held = memory.put(head, entry, body ?? found?.held.body);
    if (alias !== undefined) memory.put(head, alias, undefined);
    return { held, head, fwdStatus, stored, detail };
  }

  /** The store's entry under this name, taken into memory. */
  async #read(group: string, name: string): Promise<HeldWithHead | undefined> {
    return await this.#remember(await this.#options.store.read(group, name));
  }

  /** Takes what the store holds into memory, and follows an alias to the entry that has the body. */
  async #remember(found: Found): Promise<HeldWithHead | undefined> {
    const { store, memory } = this.#options;
    const { entry } = found;
    if (entry === undefined) return undefined;
    // A head may have been evicted above its entry: the entry's own generation is what is known then.
    const read = found.head ?? { ...NO_HEAD, generation: entry.generation };
    const head = laterHead(memory.head(entry.group), read);
    const held = memory.put(head, entry, undefined);
    if (entry.aliasOf === undefined) return { held, head };
    const target = await store.read(entry.group, entry.aliasOf);
    if (target.entry === undefined || target.entry.aliasOf !== undefined) return undefined;
    if (target.entry.generation !== entry.generation) return undefined;
    return { held: memory.put(head, target.entry, undefined), head };
  }
}

/** The head that knows more: a read that was overtaken by an answer must not bring back what it knew. */
function laterHead(known: Head | undefined, read: Head): Head {
  if (known === undefined) return read;
  return lastHeardAt(read) >= lastHeardAt(known) ? read : known;
}

function lastHeardAt(head: Head): EpochMs {
  return Math.max(head.confirmedAt, head.invalidatedAt, head.lowerSince);
}

function flightKey(resource: Resource): string {
  return `${resource.group} ${resource.name}`;
}
