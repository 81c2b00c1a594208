import type { Clock, Ms } from "../clock.ts";
import type { Lease, LeaseEnd, Leases, Taken } from "./leases.ts";
import type { RedisLink } from "./redis-link.ts";

// Where the word of a lease's end is lost, its waiters see it themselves.
const LOOK_EVERY_MS: Ms = 500;

/**
 * Leases in Redis: a key with an expiry, whose end is told on the news channel.
 * @param without the leases of this process or machine, for while Redis is in trouble
 */
export function redisLeases(link: RedisLink, clock: Clock, without: Leases): Leases {
  /** Of those that other processes of this machine hold: Redis knows nothing of them. */
  const takenWithout = new WeakSet<Taken>();
  return {
    acquire: async (key, lengthMs) => {
      const reply = await link.ask(key, (client) => client.larderAcquire(redisKey(key), lengthMs));
      const [isHeld, token] = readPair(reply);
      if (token === undefined) {
        const turn = await without.acquire(key, lengthMs);
        if (turn.kind === "held") return substitute(link, turn);
        takenWithout.add(turn);
        return turn;
      }
      return isHeld === 1 ? heldLease(link, key, token, lengthMs) : { kind: "taken", key, token };
    },
    ended: (taken, waitMs) =>
      takenWithout.has(taken) ? without.ended(taken, waitMs) : waitFor(link, clock, taken, waitMs),
  };
}

function redisKey(key: string): string {
  return `larder:1:lease:{${key}}`;
}

/** A lease of this machine alone is good only while nobody else can have one: it is lost as soon as Redis answers. */
function substitute(link: RedisLink, turn: Lease): Lease {
  const isRedisBack = async (): Promise<boolean> =>
    (await link.ask(turn.key, (client) => client.exists(redisKey(turn.key)))) !== undefined;
  return { ...turn, renew: async () => !(await isRedisBack()) && (await turn.renew()) };
}

function heldLease(link: RedisLink, key: string, token: number, lengthMs: Ms): Lease {
  return {
    kind: "held",
    key,
    token,
    renew: async () => {
      const renewed = await link.ask(key, (client) =>
        client.larderRenew(redisKey(key), String(token), lengthMs),
      );
      // Redis in trouble has not taken it away: the next renewal may be in time.
      return renewed !== 0;
    },
    release: (word) => link.release(redisKey(key), token, { is: "lease", key, token, word }),
  };
}

function waitFor(link: RedisLink, clock: Clock, { key, token }: Taken, waitMs: Ms): Promise<LeaseEnd> {
  const giveUpAt = clock.now() + waitMs;
  return new Promise((resolve) => {
    let isSettled = false;
    let cancel = (): void => undefined;
    const settle = (end: LeaseEnd): void => {
      isSettled = true;
      cancel();
      stopListening();
      resolve(end);
    };
    const stopListening = link.listen((message) => {
      const word = wordIn(message, key, token);
      if (word !== undefined) settle({ kind: "released", word });
    });
    const look = async (): Promise<void> => {
      const held = await link.ask(key, (client) => client.get(redisKey(key)));
      if (isSettled) return;
      const leftMs = giveUpAt - clock.now();
      if (held !== String(token)) settle({ kind: "lost" });
      else if (leftMs <= 0) settle({ kind: "late" });
      else cancel = clock.after(Math.min(leftMs, LOOK_EVERY_MS), () => void look());
    };
    void look();
  });
}

function wordIn(message: unknown, key: string, token: number): string | undefined {
  if (typeof message !== "object" || message === null) return undefined;
  const fits = "is" in message && message.is === "lease" && "key" in message && message.key === key;
  if (!fits || !("token" in message) || message.token !== token) return undefined;
  return "word" in message && typeof message.word === "string" ? message.word : undefined;
}

function readPair(reply: unknown): [unknown, number | undefined] {
  if (!Array.isArray(reply)) return [undefined, undefined];
  const parts: readonly unknown[] = reply;
  const [isHeld, token] = parts;
  const number = typeof token === "string" ? Number(token) : Number.NaN;
  return [isHeld, Number.isSafeInteger(number) ? number : undefined];
}
