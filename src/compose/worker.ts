import { LISTENING, DRAIN, UP } from "../workers/ops.ts";
import type { PrimaryLink } from "../workers/primary-link.ts";

/**
 * Lets the primary know when this worker takes requests, and do as the primary says.
 * @param stop called when this worker is to end: when it is told to, and when the primary is gone
 */
export async function work(
  primary: PrimaryLink,
  listen: () => Promise<number>,
  stop: (lingers: boolean) => void,
): Promise<void> {
  primary.desk.hear(DRAIN, ({ lingers }) => stop(lingers));
  primary.line.onGone(() => stop(false));
  const port = await listen();
  primary.line.tell(LISTENING, { port });
}

/** @returns how many workers take requests, of how many; for /readyz */
export function workersUp(
  { desk }: PrimaryLink,
  of: number,
): () => { readonly workers: { up: number; of: number } } {
  let workers = { up: 0, of };
  desk.hear(UP, ({ up }) => (workers = { up, of }));
  return () => ({ workers });
}
