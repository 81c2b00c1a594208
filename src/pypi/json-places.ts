import type { JsonEvents } from "./json-scanner.ts";
import { isText } from "./json-text.ts";

/** No member, or none that matters. A string as the others are: V8 compares strings of one kind faster. */
const NO_MEMBER = "";

/** A member's name, and its bytes to compare with. */
interface Member {
  readonly name: string;
  readonly text: Buffer;
}

/** The containers of one kind of document, as far as they matter. */
export interface PlaceTable<P extends string> {
  /** Where the document itself stands. */
  readonly outside: P;
  /** The members that matter, by the place of their object; none for a place that is not named. */
  readonly members: Readonly<Partial<Record<P, readonly Member[]>>>;
  /** What a container is that stands at `place`, there as the member `name` ("" in an array). */
  readonly within: (place: P, name: string, container: "object" | "array") => P;
}

const NONE: readonly Member[] = [];

/** The members of these names, ASCII, for a `PlaceTable`. */
export function membersNamed(...names: readonly string[]): readonly Member[] {
  return names.map((name) => ({ name, text: Buffer.from(name) }));
}

/** Follows a scan through a document, and knows where it is. A reader hands its own events on to it. */
export class JsonPlaces<P extends string> implements Pick<JsonEvents, "key" | "open" | "close"> {
  readonly #bytes: Buffer;
  readonly #table: PlaceTable<P>;
  readonly #outer: P[] = [];
  #place: P;
  #members: readonly Member[] = NONE;
  #member = NO_MEMBER;

  constructor(bytes: Buffer, table: PlaceTable<P>) {
    this.#bytes = bytes;
    this.#table = table;
    this.#place = table.outside;
  }

  /** Which container the scan is in. */
  get place(): P {
    return this.#place;
  }

  /** Which of the place's members the next value is. */
  get member(): string {
    return this.#member;
  }

  key(start: number, end: number): void {
    this.#member = NO_MEMBER;
    for (const { name, text } of this.#members) {
      if (isText(this.#bytes, start, end, text)) this.#member = name;
    }
  }

  open(container: "object" | "array"): void {
    this.#outer.push(this.#place);
    this.#enter(this.#table.within(this.#place, this.#member, container));
  }

  close(): void {
    this.#enter(this.#outer.pop() ?? this.#table.outside);
  }

  #enter(place: P): void {
    this.#place = place;
    this.#members = this.#table.members[place] ?? NONE;
    // Else what follows in an array would pass for the last member of the object before it.
    this.#member = NO_MEMBER;
  }
}
