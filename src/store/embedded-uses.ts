import type { Clock, EpochMs } from "../clock.ts";
import { isBusy } from "../sqlite/result-codes.ts";
import type { Session } from "./embedded-session.ts";
import type { Statements } from "./embedded-statements.ts";

/** A read renews an entry's last use only if that is so old: reads stay reads. */
const RENEWED_AFTER_MS = 60_000;
const FLUSHED_AFTER_MS = 1_000;
const MAX_PENDING = 256;

export interface UsesOptions {
  readonly session: Session;
  readonly clock: Clock;
  /** Told of uses that could not be written, other than for a moment: eviction is a little less true then. */
  readonly onUnwritten: (error: unknown) => void;
}

/** When entries were last used, as far as that is not written down yet: it is with the next write, or soon. */
export class Uses {
  readonly #options: UsesOptions;
  readonly #pending = new Map<
    string,
    { readonly group: string; readonly name: string; readonly at: EpochMs }
  >();
  #cancelFlush: (() => void) | undefined;

  constructor(options: UsesOptions) {
    this.#options = options;
  }

  /** @param usedAt what is written down by now */
  noteRead(group: string, name: string, usedAt: EpochMs): void {
    if (this.#options.clock.now() - usedAt >= RENEWED_AFTER_MS) this.note(group, name);
  }

  note(group: string, name: string): void {
    const { clock } = this.#options;
    this.#pending.set(`${group}\0${name}`, { group, name, at: clock.now() });
    if (this.#pending.size >= MAX_PENDING) this.flush();
    else this.#cancelFlush ??= clock.after(FLUSHED_AFTER_MS, () => this.flush());
  }

  /** Writes them down within a transaction that is under way. */
  write(sql: Statements): void {
    for (const { group, name, at } of this.#pending.values()) sql.use(group, name, at);
    this.#pending.clear();
  }

  /** Writes them down now. Never throws. */
  flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    if (this.#pending.size === 0) return;
    try {
      this.#options.session.transactNow((sql) => this.write(sql));
    } catch (error) {
      // The next write takes them along, unless they are too many by now.
      if (this.#pending.size >= MAX_PENDING) this.#pending.clear();
      if (!isBusy(error)) this.#options.onUnwritten(error);
    }
  }
}
