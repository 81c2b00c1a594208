import type { Clock, EpochMs } from "../clock.ts";
import { nextTurn } from "../event-loop.ts";
import type { News } from "../fleet/news.ts";
import type { Store } from "../store/store.ts";

export interface MarksOptions {
  readonly store: Pick<Store, "advance">;
  readonly news: News;
  readonly clock: Clock;
  /** A project has changed: for this process' memory. */
  readonly onMark: (group: string, generation: number, at: EpochMs) => void;
}

/** Marks that are handed on in one turn of the event loop. */
const MARKS_PER_TURN = 500;
/** What a poll has marked is marked again by the next one, unless it was so much: a store may lose its last seconds. */
const MAX_MARKED_AGAIN = 1_000;

/** Hands on which projects have changed. */
export class Marks {
  readonly #options: MarksOptions;
  #last: ReadonlyMap<string, number> = new Map();

  constructor(options: MarksOptions) {
    this.#options = options;
  }

  /**
   * Marks projects as changed, everywhere; when it is done, all of them are.
   *
   * @param marks normalized names, each with its newest serial
   * @throws StoreUnavailable when not all of them may be: to be done again
   */
  async add(marks: ReadonlyMap<string, number>): Promise<void> {
    const again = [...this.#last].filter(([group]) => !marks.has(group));
    if (again.length > 0) await this.#options.store.advance(new Map(again), this.#options.clock.now());
    const all = [...marks];
    for (let from = 0; from < all.length; from += MARKS_PER_TURN) {
      await this.#mark(new Map(all.slice(from, from + MARKS_PER_TURN)));
      await nextTurn();
    }
    this.#last = marks.size > MAX_MARKED_AGAIN ? new Map() : marks;
  }

  /** Memory first, for it needs nobody; then the store; then the other nodes, who will look there. */
  async #mark(marks: ReadonlyMap<string, number>): Promise<void> {
    const { clock, news, onMark, store } = this.#options;
    const at = clock.now();
    for (const [group, generation] of marks) onMark(group, generation, at);
    await store.advance(marks, at);
    for (const group of marks.keys()) news.publish({ kind: "changed", group });
  }
}
