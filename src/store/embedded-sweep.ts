import type { Clock } from "../clock.ts";
import { nextTurn } from "../event-loop.ts";
import { evict, sweepLoose } from "./embedded-change.ts";
import type { Session } from "./embedded-session.ts";
import type { Statements } from "./embedded-statements.ts";
import type { OnSurvived } from "./survived.ts";

/** Free pages beyond a quarter of the file, and beyond 8 MiB, are given back; the rest is used again. */
const VACUUM_ABOVE_PAGES = 1_024;
const VACUUM_SLICE_PAGES = 64;

export interface SweepOptions {
  readonly session: Session;
  /** Path of the database, to be told in what was survived. */
  readonly file: string;
  /** Bound of the store: see `EmbeddedStoreOptions`. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
}

/** Removes loose bodies and gives free pages back, behind what is asked of the store and slice by slice. */
export class Sweep {
  readonly #options: SweepOptions;
  #underWay: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** Goes on until there is nothing left to do; one that is under way comes upon it itself. Never throws. */
  begin(): void {
    if (this.#underWay !== undefined || this.#isStopped) return;
    this.#underWay = this.#sweep()
      .catch((error: unknown) => this.#options.onSurvived("store: sweep", this.#options.file, error))
      .finally(() => {
        this.#underWay = undefined;
      });
  }

  /** @returns the end of the one that is under way; undefined where there is none. Never rejects. */
  stop(): Promise<void> | undefined {
    this.#isStopped = true;
    return this.#underWay;
  }

  async #sweep(): Promise<void> {
    const { session, clock, maxBytes } = this.#options;
    let done: "nothing" | "swept" | "vacuumed";
    do {
      await nextTurn();
      done = await session.transact((sql) => {
        // The bound may be lower than it was when the file was last open.
        const isOver = evict(sql, maxBytes, 0);
        if (sweepLoose(sql, clock.now()) || isOver) return "swept";
        return vacuum(sql) ? "vacuumed" : "nothing";
      });
      // The file gets shorter only with a checkpoint.
      if (done === "vacuumed") session.checkpoint();
    } while (done !== "nothing" && !this.#isStopped);
  }
}

/** @returns true when there is more to give back */
function vacuum(sql: Statements): boolean {
  const { free, pages } = sql.freePages();
  if (free < VACUUM_ABOVE_PAGES || free < pages / 4) return false;
  sql.vacuum(VACUUM_SLICE_PAGES);
  return true;
}
