/** An instant: milliseconds since the Unix epoch. */
export type EpochMs = number;

/** A span of time in milliseconds. */
export type Ms = number;

/** Where time comes from. Handed down by compose.ts, so that a test can own it. */
export interface Clock {
  now(): EpochMs;
  /** Calls `then` once `delayMs` have passed; the returned function cancels it. Never keeps the process alive. */
  after(delayMs: Ms, then: () => void): () => void;
}

/** What `work` comes to, or undefined once `waitMs` have passed. The work itself is not stopped. */
export async function within<T>(clock: Clock, waitMs: Ms, work: Promise<T>): Promise<T | undefined> {
  let cancel = (): void => undefined;
  const late = new Promise<undefined>((resolve) => {
    cancel = clock.after(waitMs, () => resolve(undefined));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel();
  }
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, then) => {
    const timer = setTimeout(then, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
