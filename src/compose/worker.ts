import { LISTENING, DRAIN, UP } from "../workers/ops.ts";
import type { Seat } from "../workers/seat.ts";

/**
 * Lets the primary know when this worker takes requests, and do as the primary says.
 * @param stop called when this worker is to end: when it is told to, and when the primary is gone
 */
export async function work(
  seat: Seat,
  listen: () => Promise<number>,
  stop: (lingers: boolean) => void,
): Promise<void> {
  seat.desk.hear(DRAIN, ({ lingers }) => stop(lingers));
  seat.line.onGone(() => stop(false));
  const port = await listen();
  seat.line.tell(LISTENING, { port });
}

/** @returns how many workers take requests, of how many; for /readyz */
export function workersUp(
  { desk }: Seat,
  of: number,
): () => { readonly workers: { up: number; of: number } } {
  let workers = { up: 0, of };
  desk.hear(UP, ({ up }) => (workers = { up, of }));
  return () => ({ workers });
}
