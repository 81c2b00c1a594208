import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { LarderServer } from "../routes/server.ts";

// A build farm connects all at once; beyond the backlog a client waits a second for its second SYN. Node's is 511.
const LISTEN_BACKLOG = 4_096;

/**
 * Begins to listen.
 * @returns the port
 */
export function listen({ http }: LarderServer, config: Config): Promise<number> {
  return new Promise((resolve, reject) => {
    http.once("error", reject);
    http.listen({ port: config.port, host: config.host, backlog: LISTEN_BACKLOG }, () => {
      http.off("error", reject);
      const address = http.address();
      resolve(typeof address === "object" && address !== null ? address.port : config.port);
    });
  });
}

/**
 * Calls `work`, which never rejects, again and again, one at a time, until the returned function is called.
 * @returns to be called to stop it: resolves when what was under way has ended
 */
export function every(clock: Clock, periodMs: number, work: () => Promise<void>): () => Promise<void> {
  let stopped = false;
  let underWay = Promise.resolve();
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.after(periodMs, () => {
      underWay = work().finally(() => {
        if (!stopped) arm();
      });
    });
  };
  arm();
  return () => {
    stopped = true;
    cancel();
    return underWay;
  };
}

// How long a connection must have been idle before it is closed while other workers go on serving.
const LINGER_MS = 2_000;

/**
 * Lets requests under way end, and breaks them after so long.
 * @param lingers whether idle connections get some time for one more request (at most half of all the time)
 */
export async function drain(
  server: LarderServer,
  clock: Clock,
  cutOffAfterMs: number,
  lingers: boolean,
): Promise<void> {
  if (!server.http.listening) return;
  const { drained, closeIdle, cutOff } = server.drain();
  const lingerMs = Math.min(LINGER_MS, cutOffAfterMs / 2);
  if (!lingers) closeIdle();
  const cancels = [clock.after(lingerMs, closeIdle), clock.after(cutOffAfterMs, cutOff)];
  await drained;
  for (const cancel of cancels) cancel();
}
