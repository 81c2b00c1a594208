import { BoundedMap } from "../bounded-map.ts";
import type { Clock, EpochMs, Ms } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { nextTurn } from "../event-loop.ts";
import { advanceHead } from "../store/change-rules.ts";
import type { Awaitable, Change, Entry, Found, Head, Store, Written } from "../store/store.ts";
import { owned } from "../store/owned.ts";
import { isIntact } from "./intact.ts";
import type { Held, HeldWithHead, Memory, Representation } from "./memory.ts";
import { NO_HEAD } from "./settle.ts";

/** How memory is kept true to a store that others write to as well. */
export interface Coherence {
  /** What memory holds is compared with the store at the latest so long after the last time; Infinity for never. */
  readonly everyMs: Ms;
}

// Each further one takes another node that stores something of the group in the very same milliseconds.
const PURGE_TRIES = 5;

// No answer is being stored for longer than so many purges take.
const MAX_PURGED = 1_000;

// Some 3 ms of the embedded store's, or 7 of Redis' and of the loop's, time.
const TOUCHED_AT_ONCE = 256;

/** Memory above the store, as one place to look. The store never fails here: its guard makes a broken one a cold one. */
export class Tiers {
  readonly #memory: Memory;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #coherence: Coherence;
  /** Group -> as of when it was purged, for answers that are just being stored and know nothing of it. */
  readonly #purged = new BoundedMap<string, EpochMs>(MAX_PURGED);

  constructor(memory: Memory, store: Store, clock: Clock, coherence: Coherence) {
    this.#memory = memory;
    this.#store = store;
    this.#clock = clock;
    this.#coherence = coherence;
  }

  /** What memory holds under this name. */
  find(group: string, name: string): HeldWithHead | undefined {
    return this.#memory.find(group, name);
  }

  /** Whether what memory holds may be served without a look at the store, where others may have stored newer. */
  isCoherent({ held }: HeldWithHead): boolean {
    const { everyMs } = this.#coherence;
    if (everyMs === Number.POSITIVE_INFINITY) return true;
    const sinceMs = this.#clock.now() - held.checkedAt;
    return sinceMs < everyMs && sinceMs >= 0; // negative: the clock was set back
  }

  /**
   * What memory and store hold together under a name that memory holds. What the store does not have, or cannot be asked
   * for, stays as it is in memory: only what somebody stored later replaces it.
   */
  async compare(group: string, name: string): Promise<HeldWithHead | undefined> {
    const read = await this.#store.read(group, name);
    const known = this.#memory.head(group);
    if (known !== undefined) {
      // Where the store knows nothing of the group, no mark of the change feed can have been left there.
      const stored = read.head;
      this.#memory.setHead(
        group,
        stored === undefined ? unsure(known, this.#clock.now()) : laterHead(known, stored),
      );
    }
    const found = read.entry === undefined ? undefined : await this.#remember(read);
    if (found !== undefined) return found;
    const held = this.#memory.find(group, name);
    for (const each of [name, held?.held.entry.name ?? name])
      this.#memory.noteChecked(group, each, this.#clock.now());
    return held;
  }

  /**
   * Forgets a group, and remembers since when: an answer that was asked for before is superseded as soon as it comes.
   * @throws StoreUnavailable when the store did not do it, or may not have
   */
  async purge(group: string, at: EpochMs): Promise<void> {
    this.forget(group, at);
    await this.#store.remove(group);
    // Refused where another node has stored an answer since: then its head takes the note.
    let head = NO_HEAD;
    for (let tries = 0; tries < PURGE_TRIES; tries += 1) {
      const invalidated = { ...head, invalidatedAt: Math.max(head.invalidatedAt, at) };
      const written = await this.#store.write({ group, head: invalidated, basis: head.generation });
      if (written === "written") return;
      if (written === "failed") break;
      head = (await this.#store.read(group, "")).head ?? NO_HEAD;
    }
    throw new StoreUnavailable(`${group}: removed, but the purge could not be noted`);
  }

  /** Takes what memory holds of a group for superseded as of this instant. */
  forget(group: string, at: EpochMs): void {
    const head = this.#memory.head(group);
    if (head !== undefined)
      this.#memory.setHead(group, { ...head, invalidatedAt: Math.max(head.invalidatedAt, at) });
    this.#memory.doubt(group);
    this.#purged.set(group, at);
  }

  /** Has all that memory holds of a group compared with the store before it is served again. */
  doubt(group: string): void {
    this.#memory.doubt(group);
  }

  /** What the store holds under this name, taken into memory. */
  async read(group: string, name: string): Promise<HeldWithHead | undefined> {
    return await this.#remember(await this.#store.read(group, name));
  }

  /** What the store knows now, past memory: for a write that was refused because someone else knew newer. */
  async reread(
    group: string,
    name: string,
  ): Promise<{ head: Head | undefined; found: HeldWithHead | undefined }> {
    const stored = await this.#store.read(group, name);
    return { head: stored.head, found: await this.#remember(stored) };
  }

  /** The head of a group as it is known by now. */
  async head(group: string, name: string): Promise<Head | undefined> {
    return this.#memory.head(group) ?? (await this.#store.read(group, name)).head;
  }

  /** @returns undefined when the store no longer has it, or not as it was given */
  body(held: Held): Awaitable<Buffer | undefined> {
    return held.body ?? this.#readBody(held);
  }

  keepRepresentation(held: Held, key: string, representation: Representation): void {
    this.#memory.keepRepresentation(held, key, representation);
  }

  /** Writes to the store; memory is told with `hold` what came of it. */
  write(change: Change): Awaitable<Written> {
    return this.#store.write(change);
  }

  /**
   * Takes into memory what an answer of upstream made of an entry.
   * @param isLowered whether the head goes back to a lower generation on purpose
   * @param isStored whether the store took the body
   */
  hold(
    head: Head,
    entry: Entry,
    body: Buffer | undefined,
    { isLowered, isStored }: { readonly isLowered: boolean; readonly isStored: boolean },
  ): HeldWithHead {
    // Two answers of one group may end at once, and where the store fails nobody else has merged their heads.
    const known = this.#memory.head(entry.group);
    const newer = !isLowered && known !== undefined && known.generation > head.generation ? known : head;
    const invalidatedAt = Math.max(newer.invalidatedAt, this.#purged.get(entry.group) ?? 0);
    const newest = { ...newer, invalidatedAt };
    return { held: this.#memory.put(newest, entry, body, this.#clock.now(), isStored), head: newest };
  }

  /** Takes into memory what an answer of upstream made of a group. */
  holdHead(group: string, head: Head): void {
    this.#memory.setHead(group, head);
  }

  /** Takes into memory what the change feed told of a group. */
  advance(group: string, generation: number, at: EpochMs): void {
    const head = this.#memory.head(group);
    if (head !== undefined) this.#memory.setHead(group, advanceHead(head, generation, at));
  }

  /** Tells the store what was used from memory, so that its least recently used is truly that. */
  async touchStore(): Promise<void> {
    const used = this.#memory.takeUsed();
    for (let from = 0; from < used.length; from += TOUCHED_AT_ONCE) {
      await this.#store.touch(used.slice(from, from + TOUCHED_AT_ONCE));
      await nextTurn();
    }
  }

  async #readBody(held: Held): Promise<Buffer | undefined> {
    const { entry } = held;
    const read = await this.#store.readBody(entry);
    if (read !== undefined && (await isIntact(read, entry.digest))) {
      const body = owned(read);
      this.#memory.keepBody(held, body);
      return body;
    }
    // What has been made of it is as good as ever.
    if (held.representations.size === 0) this.#memory.drop(entry.group, entry.name);
    return undefined;
  }

  /** Takes what the store holds into memory, and follows an alias to the entry that has the body. */
  async #remember(found: Found): Promise<HeldWithHead | undefined> {
    const { entry } = found;
    if (entry === undefined) return undefined;
    const head = knownOf(found, entry, this.#memory.head(entry.group));
    const held = this.#take(head, entry);
    const { aliasOf } = held.entry;
    if (aliasOf === undefined) return { held, head };
    const target = await this.#store.read(entry.group, aliasOf);
    if (target.entry === undefined || target.entry.aliasOf !== undefined) return undefined;
    if (target.entry.generation !== held.entry.generation) return undefined;
    return { held: this.#take(head, target.entry), head };
  }

  /** Takes an entry of the store into memory, unless what memory holds is of later: the store may have failed to take it. */
  #take(head: Head, entry: Entry): Held {
    const now = this.#clock.now();
    const known = this.#memory.peek(entry.group, entry.name);
    const isLater = known !== undefined && isStoredLater(known, entry, head.generation);
    return this.#memory.put(head, isLater ? known : entry, undefined, now, !isLater);
  }
}

/** Whether an answer was asked for later than another, or is of a newer generation that the head still knows of. */
function isStoredLater(known: Entry, read: Entry, headGeneration: number): boolean {
  if (known.generation === read.generation) return known.fence > read.fence;
  return known.generation > read.generation && known.generation <= headGeneration;
}

/**
 * What is known of the group of an entry that was read. A head may have been evicted above its entry: then the entry's
 * own generation is what is known, and that for no longer than since it was confirmed.
 */
function knownOf({ head }: Found, { generation, confirmedAt }: Entry, known: Head | undefined): Head {
  if (head !== undefined) return laterHead(known, head);
  return known ?? { ...NO_HEAD, generation, advancedAt: confirmedAt, confirmedAt };
}

/** The head of a group of which something newer may have been heard of until now. */
function unsure(known: Head, now: EpochMs): Head {
  return { ...known, advancedAt: now };
}

/** The head that knows more: a read that was overtaken by an answer must not bring back what it knew. */
function laterHead(known: Head | undefined, read: Head): Head {
  if (known === undefined || read.generation > known.generation) return read;
  return lastHeardAt(read) >= lastHeardAt(known) ? read : known;
}

function lastHeardAt(head: Head): EpochMs {
  return Math.max(head.confirmedAt, head.advancedAt, head.invalidatedAt, head.lowerSince);
}
