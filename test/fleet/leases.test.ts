import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { LeaseTable } from "../../src/fleet/lease-table.ts";
import type { Lease, Leases } from "../../src/fleet/leases.ts";
import { redisLeases } from "../../src/fleet/redis-leases.ts";
import { RedisLink } from "../../src/fleet/redis-link.ts";
import { parseRedisUrl } from "../../src/redis/url.ts";
import { systemClock } from "../../src/clock.ts";
import { TestClock } from "../support/clock.ts";
import { type RunningRedis, startRedis, until } from "../support/redis.ts";

const redisServer = inject("redisServer");

function linkTo({ port }: RunningRedis, budgetMs = 5_000): RedisLink {
  return new RedisLink({
    target: parseRedisUrl(`redis://127.0.0.1:${port}`),
    caPem: undefined,
    budgetMs,
    clock: systemClock,
    onSurvived: () => undefined,
  });
}

/** Leases that let nobody in: what falls back on them would be seen. */
const NO_LEASES: Leases = {
  acquire: () => Promise.reject(new Error("fell back")),
  ended: () => Promise.reject(new Error("fell back")),
};

async function held(leases: Leases, key: string, lengthMs = 60_000): Promise<Lease> {
  const turn = await leases.acquire(key, lengthMs);
  if (turn.kind !== "held") throw new Error(`${key} is taken`);
  return turn;
}

describe("leases in memory", () => {
  it("end by themselves, and are lost to their holder then", async () => {
    const clock = new TestClock();
    const table = new LeaseTable(clock);
    const first = await held(table.leases("a"), "k", 1_000);
    const taken = await table.leases("b").acquire("k", 1_000);
    expect(taken).toEqual({ kind: "taken", key: "k", token: first.token });
    clock.advance(999);
    expect(await first.renew()).toBe(true);
    clock.advance(999);
    expect((await table.leases("b").acquire("k", 1_000)).kind).toBe("taken");
    clock.advance(1);
    const second = await held(table.leases("b"), "k", 1_000);
    expect(second.token).toBeGreaterThan(first.token);
    expect(await first.renew()).toBe(false);
    await first.release("late");
    expect((await table.leases("c").acquire("k", 1_000)).kind).toBe("taken");
  });

  it("tell who waits of their end, whatever that is", async () => {
    const clock = new TestClock();
    const table = new LeaseTable(clock);
    const [a, b] = [table.leases("a"), table.leases("b")];
    const wait = async (waitMs: number) => {
      const taken = await b.acquire("k", 1_000);
      if (taken.kind !== "taken") throw new Error("not taken");
      return b.ended(taken, waitMs);
    };
    const lease = await held(a, "k", 1_000);
    const ends = [wait(500), wait(5_000)] as const;
    await clock.untilPending(2);
    clock.advance(500);
    expect(await ends[0]).toEqual({ kind: "late" });
    await lease.renew();
    clock.advance(900);
    await lease.release("stored");
    expect(await ends[1]).toEqual({ kind: "released", word: "stored" });
    await held(a, "k", 1_000);
    const run = wait(5_000);
    await clock.untilPending(1);
    clock.advance(1_000);
    expect(await run).toEqual({ kind: "lost" });
    await held(a, "k", 60_000);
    const gone = wait(5_000);
    await clock.untilPending(1);
    table.drop("a");
    expect(await gone).toEqual({ kind: "lost" });
  });
});

describe.skipIf(redisServer === undefined)("leases in Redis", () => {
  let redis: RunningRedis;
  let links: RedisLink[];
  beforeAll(async () => {
    redis = await startRedis(redisServer ?? "");
    links = [linkTo(redis), linkTo(redis)];
    for (const link of links)
      await until(async () => (await link.ask("", (client) => client.ping())) === "PONG");
  });
  afterAll(async () => {
    for (const link of links) link.close();
    await redis.stop();
  });
  const leases = (node: 0 | 1): Leases => redisLeases(links[node]!, systemClock, NO_LEASES);

  it("are one node's at a time, with tokens that grow, and tell who waits", async () => {
    const first = await held(leases(0), "one");
    const taken = await leases(1).acquire("one", 60_000);
    expect(taken).toEqual({ kind: "taken", key: "one", token: first.token });
    if (taken.kind !== "taken") throw new Error();
    const end = leases(1).ended(taken, 20_000);
    // The waiter has asked Redis by the time that another of its calls is answered.
    await links[1]!.ask("ping", (client) => client.ping());
    await first.release("stored");
    expect(["released", "lost"]).toContain((await end).kind);
    const second = await held(leases(1), "one");
    expect(second.token).toBeGreaterThan(first.token);
    expect(await first.renew()).toBe(false);
    await first.release("late");
    expect(await second.renew()).toBe(true);
    expect(await leases(0).ended({ kind: "taken", key: "one", token: second.token }, 1)).toEqual({
      kind: "late",
    });
    await second.release("done");
  });

  it("are this process' own while Redis is gone, and lost as soon as it is back", async () => {
    const other = await startRedis(redisServer ?? "");
    const link = linkTo(other, 1_000);
    await until(async () => (await link.ask("", (client) => client.ping())) === "PONG");
    await other.kill();
    const own = redisLeases(link, systemClock, new LeaseTable(systemClock).leases("a"));
    const lease = await held(own, "k");
    expect((await own.acquire("k", 60_000)).kind).toBe("taken");
    expect(await lease.renew()).toBe(true);
    await other.start();
    await expect.poll(() => lease.renew(), { timeout: 15_000 }).toBe(false);
    link.close();
    await other.stop();
  });

  it("of one machine, while Redis is gone, tell its other processes of their end", async () => {
    const gone = await startRedis(redisServer ?? "");
    await gone.kill();
    const table = new LeaseTable(systemClock);
    const ofWorkers = ["a", "b"].map((worker) => {
      const link = linkTo(gone, 1_000);
      return { link, leases: redisLeases(link, systemClock, table.leases(worker)) };
    });
    const [a, b] = ofWorkers.map((each) => each.leases);
    const lease = await held(a!, "k");
    const taken = await b!.acquire("k", 60_000);
    if (taken.kind !== "taken") throw new Error("not taken");
    expect(await b!.ended(taken, 1)).toEqual({ kind: "late" });
    const end = b!.ended(taken, 20_000);
    await lease.release("stored");
    expect(await end).toEqual({ kind: "released", word: "stored" });
    for (const { link } of ofWorkers) link.close();
    await gone.stop();
  });

  it("end by themselves, which who waits sees without being told", async () => {
    const lease = await held(leases(0), "two", 50);
    const end = await leases(1).ended({ kind: "taken", key: "two", token: lease.token }, 20_000);
    expect(end).toEqual({ kind: "lost" });
    expect((await held(leases(1), "two")).token).toBeGreaterThan(lease.token);
  });

  it("agree with those in memory about who holds what, whatever is done in whatever order", async () => {
    const step = fc.record({
      what: fc.constantFrom("acquire" as const, "renew" as const, "release" as const),
      key: fc.constantFrom("x", "y"),
      node: fc.constantFrom(0 as const, 1 as const),
    });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        run += 1;
        const table = new LeaseTable(systemClock);
        const here = new Map<string, { model: Lease; real: Lease }>();
        for (const { what, key, node } of steps) {
          const mine = here.get(`${node} ${key}`);
          if (what === "acquire") {
            const [model, real] = [
              await table.leases(String(node)).acquire(key, 60_000),
              await leases(node).acquire(`${run} ${key}`, 60_000),
            ];
            expect(real.kind).toBe(model.kind);
            if (model.kind === "held" && real.kind === "held") here.set(`${node} ${key}`, { model, real });
          } else if (mine !== undefined && what === "renew") {
            expect(await mine.real.renew()).toBe(await mine.model.renew());
          } else if (mine !== undefined) {
            await mine.model.release("x");
            await mine.real.release("x");
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
