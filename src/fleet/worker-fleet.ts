import type { Clock, Ms } from "../clock.ts";
import { NoReply, UpstreamUnavailable } from "../errors.ts";
import type { PrimaryLink } from "../workers/primary-link.ts";
import type { Fleet, UpstreamName } from "./fleet.ts";
import type { Lease, Leases } from "./leases.ts";
import { type Limiter, type LimiterState, type Pass, PLACE_MS } from "./limiter.ts";
import type { News } from "./news.ts";
import { ACQUIRE, ENDED, ENTER, LEAVE, NEWS, RELEASE, RENEW, REST, STAY } from "./worker-ops.ts";

// The primary does little and answers at once; one that does not is being killed, and so is this worker.
const PRIMARY_PATIENCE_MS: Ms = 2_000;

/**
 * The fleet of one machine's workers, as one of them sees it: their primary keeps what they share.
 * @param alone what a worker does while the primary does not answer: it is about to end then
 */
export function workerFleet(
  { line, desk }: Pick<PrimaryLink, "line" | "desk">,
  clock: Clock,
  alone: Fleet,
): Fleet {
  return {
    isShared: true,
    leases: leasesOf(line, alone.leases),
    news: newsOf(line, desk),
    limiter: (upstream) => limiterOf(line, upstream, clock, alone.limiter(upstream)),
    close: () => Promise.resolve(),
  };
}

function leasesOf(line: PrimaryLink["line"], alone: Leases): Leases {
  return {
    acquire: async (key, lengthMs) => {
      const turn = await answered(line.call(ACQUIRE, { key, lengthMs }, PRIMARY_PATIENCE_MS));
      if (turn === undefined) return await alone.acquire(key, lengthMs);
      const { isHeld, token } = turn;
      return isHeld ? heldLease(line, key, token) : { kind: "taken", key, token };
    },
    ended: async ({ key, token }, waitMs) => {
      const asked = line.call(ENDED, { key, token, waitMs }, waitMs + PRIMARY_PATIENCE_MS);
      return (await answered(asked)) ?? { kind: "lost" };
    },
  };
}

function heldLease(line: PrimaryLink["line"], key: string, token: number): Lease {
  return {
    kind: "held",
    key,
    token,
    renew: async () => (await answered(line.call(RENEW, { key, token }, PRIMARY_PATIENCE_MS))) ?? false,
    release: (word) => {
      line.tell(RELEASE, { key, token, word });
      return Promise.resolve();
    },
  };
}

function newsOf(line: PrimaryLink["line"], desk: PrimaryLink["desk"]): News {
  return {
    publish: (item) => line.tellOthers(NEWS, item),
    subscribe: (listener) => desk.hear(NEWS, listener),
  };
}

function limiterOf(line: PrimaryLink["line"], upstream: UpstreamName, clock: Clock, alone: Limiter): Limiter {
  let state: LimiterState = alone.state();
  const underWay = new Set<number>();
  let isStaying = false;
  const stay = (): void => {
    if (isStaying) return;
    isStaying = true;
    clock.after(PLACE_MS / 3, () => {
      isStaying = false;
      if (underWay.size === 0) return;
      line.tell(STAY, { passes: [...underWay] });
      stay();
    });
  };
  const passOf = (pass: number): Pass => {
    underWay.add(pass);
    stay();
    return {
      end: (end) => {
        if (underWay.delete(pass)) line.tell(LEAVE, { upstream, pass, end });
      },
    };
  };
  return {
    enter: async (patienceMs) => {
      const asked = line.call(ENTER, { upstream, patienceMs }, patienceMs + PRIMARY_PATIENCE_MS);
      const entered = await answered(asked);
      if (entered?.pass !== undefined) {
        ({ state } = entered);
        return passOf(entered.pass);
      }
      if (entered?.refused === undefined) return await alone.enter(patienceMs);
      ({ state } = entered);
      const { failure, message, retryAfterMs } = entered.refused;
      throw new UpstreamUnavailable(failure, message, { retryAfterMs });
    },
    rest: (retryAfterMs) =>
      line.tell(REST, { upstream, ...(retryAfterMs !== undefined && { retryAfterMs }) }),
    state: () => state,
  };
}

/** @returns undefined when the primary gave no answer */
async function answered<R>(asked: Promise<R>): Promise<R | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof NoReply) return undefined;
    throw error;
  }
}
