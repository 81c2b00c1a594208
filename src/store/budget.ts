import type { Clock, Ms } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";

/** The slowest network on which a large body is still worth waiting for: 50 kB in a millisecond, 400 Mbit/s. */
const BYTES_PER_MS = 50_000;

/** What moving so many bytes to or from a store may cost beside its time budget. */
export function transferMs(bytes: number): Ms {
  return Math.floor(bytes / BYTES_PER_MS);
}

/**
 * Waits for `work`, but no longer than `budgetMs`. The work itself is not stopped.
 *
 * @throws StoreUnavailable when the budget is used up; whatever `work` throws within it
 */
export async function withinBudget<T>(clock: Clock, budgetMs: Ms, work: Promise<T>): Promise<T> {
  let cancel = (): void => undefined;
  const overrun = new Promise<never>((_, reject) => {
    const giveUp = (): void => reject(new StoreUnavailable(`no answer within ${budgetMs} ms`));
    // One more turn: if it was our own loop that was busy, the answer has come and only waits to be read.
    cancel = clock.after(budgetMs, () => void setImmediate(giveUp));
  });
  try {
    return await Promise.race([work, overrun]);
  } finally {
    cancel();
  }
}
