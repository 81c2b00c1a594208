import type { EpochMs } from "../clock.ts";
import type { Entry, Head } from "../store/store.ts";

/** A response ready to be sent: nothing about it is computed per request but its age. */
export interface Representation {
  /** Strong validator of exactly these bytes, quotes included. */
  readonly etag: string;
  /** Fields that do not change with time: name, value, name, value. */
  readonly fields: readonly string[];
  /** A string has a byte for each character (latin1): Node sends it in one write with its head, where a Buffer needs two. */
  readonly body: Buffer | string;
}

/** A stored response held in memory, with what has been made ready of it so far. */
export interface Held {
  readonly entry: Entry;
  /** The stored body, or undefined while nobody needs it: what is sent is mostly made of it once. */
  readonly body: Buffer | undefined;
  /** Whether the store has the body, too. */
  readonly isStored: boolean;
  /** By whatever tells one representation of this entry from another: coding, base URL. */
  readonly representations: ReadonlyMap<string, Representation>;
  /** When it was last known to be what the store has. */
  readonly checkedAt: EpochMs;
}

/** What memory holds of one name. */
export interface HeldWithHead {
  readonly held: Held;
  readonly head: Head;
}

interface Slot {
  readonly group: Group;
  held: {
    entry: Entry;
    body: Buffer | undefined;
    isStored: boolean;
    representations: Map<string, Representation>;
    checkedAt: EpochMs;
  };
  bytes: number;
  used: boolean;
}

interface Group {
  head: Head;
  readonly slots: Map<string, Slot>;
}

// What is held beside the bytes themselves, as measured with some 5,000 entries (bench/README.md), rounded up. An entry:
// objects, strings, places in maps. A body: two objects of V8's, what the allocator keeps of it. A representation: its key,
// tag and fields, the head that was rendered of it, the way to it that the routes remember.
const ENTRY_BYTES = 1_200;
const BODY_BYTES = 400;
const REPRESENTATION_BYTES = 800;

// A base URL comes from the client's Host header: a client that invents hosts must not fill the memory with
// copies of one entry. The oldest goes.
const MAX_REPRESENTATIONS = 12;

// The largest part of the bound that one body may take.
const MAX_SHARE = 0.25;

/** The tier above the store: bounded in bytes, least recently used out first, no turn of the loop to read it. */
export class Memory {
  readonly #groups = new Map<string, Group>();
  /** In order of last use, oldest first. */
  readonly #order = new Set<Slot>();
  readonly #maxBytes: number;
  #bytes = 0;

  /** `maxBytes` bounds bodies, representations and what each of them costs beside its bytes. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The entry held under this name (an alias leads to the entry that has the body), or undefined. */
  find(groupName: string, name: string): HeldWithHead | undefined {
    const group = this.#groups.get(groupName);
    const slot = group?.slots.get(name);
    if (group === undefined || slot === undefined) return undefined;
    this.#use(slot);
    const target = slot.held.entry.aliasOf;
    if (target === undefined) return { held: slot.held, head: group.head };
    const aliased = group.slots.get(target);
    // An alias is true of its own generation alone: a newer release may have taken the name since (trap 15).
    if (aliased === undefined || aliased.held.entry.generation !== slot.held.entry.generation)
      return undefined;
    this.#use(aliased);
    return { held: aliased.held, head: group.head };
  }

  /** What is known of a group, where anything of it is held. */
  head(groupName: string): Head | undefined {
    return this.#groups.get(groupName)?.head;
  }

  /**
   * Takes in what was stored or read. An entry that says the same body keeps what was made ready of it.
   * @param isStored whether the store has the body now
   */
  put(head: Head, entry: Entry, body: Buffer | undefined, now: EpochMs, isStored: boolean): Held {
    const group = this.#group(entry.group, head);
    const before = group.slots.get(entry.name);
    const same =
      before?.held.entry.digest === entry.digest && before.held.entry.generation === entry.generation;
    const held = {
      entry,
      body: body ?? (same ? before.held.body : undefined),
      // A body that is given, and that the store did not take, may be one that it has lost.
      isStored: isStored || (same && body === undefined && before.held.isStored),
      representations: same ? before.held.representations : new Map<string, Representation>(),
      checkedAt: now,
    };
    if (before !== undefined) this.#drop(before);
    const slot: Slot = { group, held, bytes: ENTRY_BYTES + bodyBytes(held.body), used: false };
    for (const representation of held.representations.values())
      slot.bytes += representationBytes(held.body, representation);
    if (!this.#isAdmissible(slot.bytes)) return held;
    this.#groups.set(entry.group, group);
    group.slots.set(entry.name, slot);
    this.#order.add(slot);
    this.#bytes += slot.bytes;
    this.#shrink();
    return held;
  }

  /** Learns what is known of a group now, where anything of it is held. */
  setHead(groupName: string, head: Head): void {
    const group = this.#groups.get(groupName);
    if (group !== undefined) group.head = head;
  }

  /** The entry held under exactly this name, alias or not, without counting as a use. */
  peek(groupName: string, name: string): Entry | undefined {
    return this.#groups.get(groupName)?.slots.get(name)?.held.entry;
  }

  /** Notes that what is held under this name is what the store has, or that the store cannot be asked. */
  noteChecked(groupName: string, name: string, at: EpochMs): void {
    const slot = this.#groups.get(groupName)?.slots.get(name);
    if (slot !== undefined) slot.held.checkedAt = at;
  }

  /** Has all that is held of a group compared with the store before it is served again. */
  doubt(groupName: string): void {
    for (const slot of this.#groups.get(groupName)?.slots.values() ?? []) slot.held.checkedAt = 0;
  }

  /** Keeps the body of an entry as the store has it, where that entry is still held. */
  keepBody(held: Held, body: Buffer): void {
    const slot = this.#slotOf(held);
    if (slot === undefined || slot.held.body !== undefined || !this.#isAdmissible(body.length)) return;
    slot.held.body = body;
    slot.held.isStored = true;
    this.#grow(slot, bodyBytes(body));
  }

  /**
   * Keeps a representation with its entry, where that entry is still held, and lets go of the stored body that it was made
   * of: both take the same room again, and the store has it for who wants another.
   */
  keepRepresentation(held: Held, key: string, representation: Representation): void {
    const slot = this.#slotOf(held);
    if (slot === undefined || !this.#isAdmissible(representation.body.length)) return;
    const { representations } = slot.held;
    if (representations.size >= MAX_REPRESENTATIONS) {
      for (const [oldKey, old] of representations) {
        representations.delete(oldKey);
        this.#grow(slot, -representationBytes(slot.held.body, old));
        break;
      }
    }
    representations.set(key, representation);
    // First: to grow may push this very slot out.
    this.#letGoOfBody(slot);
    this.#grow(slot, representationBytes(slot.held.body, representation));
  }

  /** Forgets a name whose body turned out to be gone. */
  drop(groupName: string, name: string): void {
    const slot = this.#groups.get(groupName)?.slots.get(name);
    if (slot !== undefined) this.#drop(slot);
  }

  /** The entries used since the last call, for the store below, which does not see hits in memory. */
  takeUsed(): Entry[] {
    const used: Entry[] = [];
    for (const slot of this.#order) {
      if (!slot.used) continue;
      slot.used = false;
      used.push(slot.held.entry);
    }
    return used;
  }

  /** Entries held, and the bytes counted against the bound. */
  size(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#order.size, bytes: this.#bytes };
  }

  /** One document must not push out a thousand others. */
  #isAdmissible(bytes: number): boolean {
    return bytes <= this.#maxBytes * MAX_SHARE;
  }

  #use(slot: Slot): void {
    slot.used = true;
    this.#order.delete(slot);
    this.#order.add(slot);
  }

  #group(groupName: string, head: Head): Group {
    const group = this.#groups.get(groupName);
    if (group === undefined) return { head, slots: new Map() };
    group.head = head;
    return group;
  }

  #slotOf(held: Held): Slot | undefined {
    const slot = this.#groups.get(held.entry.group)?.slots.get(held.entry.name);
    return slot?.held.entry.digest === held.entry.digest ? slot : undefined;
  }

  #letGoOfBody(slot: Slot): void {
    const { body, isStored, representations } = slot.held;
    if (body === undefined || !isStored) return;
    for (const representation of representations.values()) if (representation.body === body) return;
    slot.held.body = undefined;
    this.#grow(slot, -bodyBytes(body));
  }

  #grow(slot: Slot, bytes: number): void {
    slot.bytes += bytes;
    this.#bytes += bytes;
    this.#shrink();
  }

  #drop(slot: Slot): void {
    this.#order.delete(slot);
    this.#bytes -= slot.bytes;
    const { group } = slot;
    const { entry } = slot.held;
    group.slots.delete(entry.name);
    if (group.slots.size === 0) this.#groups.delete(entry.group);
  }

  #shrink(): void {
    for (const slot of this.#order) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#drop(slot);
    }
  }
}

function bodyBytes(body: Buffer | undefined): number {
  return body === undefined ? 0 : body.length + BODY_BYTES;
}

/** A representation that forwards the stored bytes untouched costs them only once. */
function representationBytes(stored: Buffer | undefined, { body }: Representation): number {
  if (body === stored) return REPRESENTATION_BYTES;
  return REPRESENTATION_BYTES + (typeof body === "string" ? body.length : bodyBytes(body));
}
