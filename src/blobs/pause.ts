import type { Clock, Ms } from "../clock.ts";

/**
 * Resolves after `delayMs`; at once, without a turn of a timer, for 0.
 *
 * @throws the signal's reason, as soon as it is aborted
 */
export async function pause(clock: Clock, delayMs: Ms, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (delayMs <= 0) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const wake = (): void => resolve(undefined);
  const cancel = clock.after(delayMs, wake);
  signal?.addEventListener("abort", wake, { once: true });
  await promise;
  cancel();
  signal?.removeEventListener("abort", wake);
  signal?.throwIfAborted();
}
