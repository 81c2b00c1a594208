import cluster from "node:cluster";
import type { Clock } from "../clock.ts";
import { Desk, Line, PRIMARY } from "./channel.ts";

/** The worker's end of the channel: a line to the primary, and through it to all other workers. */
export interface PrimaryLink {
  /** This worker's number: no other has it, neither now nor later. */
  readonly id: number;
  /** What this worker answers and hears. */
  readonly desk: Desk;
  readonly line: Line;
}

/** How the primary tells its own workers from a larder that somebody else's cluster has started; seen in `ps`. */
export const WORKER_ARGUMENT = "--worker";

/**
 * This process' link to its primary, where it is a worker of one of larder's; else undefined. To be called once, early:
 * what the primary says waits until then.
 */
export function linkToPrimary(clock: Clock): PrimaryLink | undefined {
  const { worker } = cluster;
  if (worker === undefined || !process.argv.includes(WORKER_ARGUMENT)) return undefined;
  const desk = new Desk();
  const line = new Line({
    desk,
    clock,
    peer: PRIMARY,
    post: (message, sent) => void process.send?.(message, undefined, undefined, sent),
  });
  process.on("message", (message) => line.receive(message));
  worker.on("disconnect", () => {
    // Else node:cluster ends this process here and now, with all requests that are under way.
    worker.exitedAfterDisconnect = true;
    line.gone();
  });
  return { id: worker.id, desk, line };
}
