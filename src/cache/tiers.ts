import type { EpochMs } from "../clock.ts";
import type { Awaitable, Change, Entry, Found, Head, Store, Written } from "../store/store.ts";
import { isIntact } from "./intact.ts";
import type { Held, HeldWithHead, Memory, Representation } from "./memory.ts";
import { NO_HEAD } from "./settle.ts";

/** Memory above the store, as one place to look. The store never fails here: its guard makes a broken one a cold one. */
export class Tiers {
  readonly #memory: Memory;
  readonly #store: Store;

  constructor(memory: Memory, store: Store) {
    this.#memory = memory;
    this.#store = store;
  }

  /** What memory holds under this name. */
  find(group: string, name: string): HeldWithHead | undefined {
    return this.#memory.find(group, name);
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
   */
  hold(head: Head, entry: Entry, body: Buffer | undefined, isLowered: boolean): HeldWithHead {
    // Two answers of one group may end at once, and where the store fails nobody else has merged their heads.
    const known = this.#memory.head(entry.group);
    const newest = !isLowered && known !== undefined && known.generation > head.generation ? known : head;
    return { held: this.#memory.put(newest, entry, body), head: newest };
  }

  /** Takes into memory what an answer of upstream made of a group. */
  holdHead(group: string, head: Head): void {
    this.#memory.setHead(group, head);
  }

  /** Tells the store what was used from memory, so that its least recently used is truly that. */
  async touchStore(): Promise<void> {
    const used = this.#memory.takeUsed();
    if (used.length > 0) await this.#store.touch(used);
  }

  async #readBody(held: Held): Promise<Buffer | undefined> {
    const { entry } = held;
    const body = await this.#store.readBody(entry);
    if (body !== undefined && (await isIntact(body, entry.digest))) {
      this.#memory.keepBody(held, body);
      return body;
    }
    this.#memory.drop(entry.group, entry.name);
    return undefined;
  }

  /** Takes what the store holds into memory, and follows an alias to the entry that has the body. */
  async #remember(found: Found): Promise<HeldWithHead | undefined> {
    const { entry } = found;
    if (entry === undefined) return undefined;
    // A head may have been evicted above its entry: the entry's own generation is what is known then.
    const read = found.head ?? { ...NO_HEAD, generation: entry.generation };
    const head = laterHead(this.#memory.head(entry.group), read);
    const held = this.#memory.put(head, entry, undefined);
    if (entry.aliasOf === undefined) return { held, head };
    const target = await this.#store.read(entry.group, entry.aliasOf);
    if (target.entry === undefined || target.entry.aliasOf !== undefined) return undefined;
    if (target.entry.generation !== entry.generation) return undefined;
    return { held: this.#memory.put(head, target.entry, undefined), head };
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
