import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { BREAKER, type Limits, type PassEnd } from "../../src/fleet/limiter.ts";
import { admit, leave, newRecord } from "../../src/fleet/limiter-rules.ts";
import { LimiterTable } from "../../src/fleet/limiter-table.ts";
import { RedisLink } from "../../src/fleet/redis-link.ts";
import { RedisLimiter } from "../../src/fleet/redis-limiter.ts";
import { FLEET_SCRIPTS } from "../../src/fleet/redis-scripts.ts";
import { Redis } from "ioredis";
import { systemClock } from "../../src/clock.ts";
import { parseRedisUrl } from "../../src/redis/url.ts";
import { TestClock } from "../support/clock.ts";
import { type RunningRedis, startRedis, until } from "../support/redis.ts";

const LIMITS: Limits = { places: 2, perSecond: 10, burst: 3 };
const ANSWERED: PassEnd = { kind: "answered" };
const FAILED: PassEnd = { kind: "failed" };
const redisServer = inject("redisServer");

function tableOf(limits: Partial<Limits> = {}) {
  const clock = new TestClock();
  const table = new LimiterTable({ places: 100, perSecond: Infinity, burst: Infinity, ...limits }, clock);
  return { clock, table, limiter: table.limiter("a") };
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "entered",
    (error: unknown) => (error as { failure: string }).failure,
  );
}

describe("limiters of one upstream", () => {
  it("let in as many as there are places, the others in the order they came, and nobody for ever", async () => {
    const { clock, limiter } = tableOf({ places: 1 });
    const first = await limiter.enter(1_000);
    const order: string[] = [];
    const second = limiter.enter(5_000).then((pass) => (order.push("second"), pass));
    const third = limiter.enter(5_000).then((pass) => (order.push("third"), pass));
    const late = failureOf(limiter.enter(1_000));
    clock.advance(1_000);
    expect(await late).toBe("busy");
    first.end(ANSWERED);
    (await second).end(ANSWERED);
    (await third).end(ANSWERED);
    expect(order).toEqual(["second", "third"]);
  });

  it("give out tokens at a steady rate once the burst is spent", async () => {
    const { clock, limiter } = tableOf({ perSecond: 10, burst: 3 });
    for (let i = 0; i < 3; i++) (await limiter.enter(0)).end(ANSWERED);
    let entered = 0;
    const enter = async (): Promise<void> => {
      const pass = await limiter.enter(60_000);
      entered += 1;
      pass.end(ANSWERED);
    };
    for (let i = 0; i < 5; i++) void enter();
    clock.advance(99);
    await Promise.resolve();
    expect(entered).toBe(0);
    clock.advance(1);
    await expect.poll(() => entered).toBe(1);
    clock.advance(400);
    await expect.poll(() => entered).toBe(5);
  });

  it("leave upstream alone for all when it asks one for that", async () => {
    const { clock, table, limiter } = tableOf();
    (await limiter.enter(0)).end({ kind: "rate-limited", retryAfterMs: 20_000 });
    expect(await failureOf(table.limiter("b").enter(1_000))).toBe("rate-limited");
    expect(limiter.state().pausedUntil).toBe(clock.now() + 20_000);
    clock.advance(20_000);
    expect(await failureOf(table.limiter("b").enter(0))).toBe("entered");
  });

  it("open the breaker after so many failures in a row, probe with one, and close it when that is answered", async () => {
    const { clock, limiter } = tableOf();
    const fail = async () => (await limiter.enter(0)).end(FAILED);
    for (let i = 0; i < BREAKER.failures - 1; i++) await fail();
    (await limiter.enter(0)).end(ANSWERED);
    for (let i = 0; i < BREAKER.failures; i++) await fail();
    expect(limiter.state().breaker).toBe("open");
    expect(await failureOf(limiter.enter(0))).toBe("breaker");
    clock.advance(BREAKER.openMs);
    expect(limiter.state().breaker).toBe("half-open");
    const probe = await limiter.enter(0);
    expect(await failureOf(limiter.enter(0))).toBe("breaker");
    probe.end(FAILED);
    clock.advance(BREAKER.openMs);
    expect(await failureOf(limiter.enter(0))).toBe("breaker"); // twice as long now
    clock.advance(BREAKER.openMs);
    (await limiter.enter(0)).end(ANSWERED);
    expect(limiter.state().breaker).toBe("closed");
  });

  it("let nobody in for a holder that is gone, who would keep the place", async () => {
    const { table, limiter } = tableOf({ places: 1 });
    const first = await limiter.enter(0);
    const ofDead = [1, 2, 3].map(() => failureOf(table.limiter("dead").enter(60_000)));
    const next = limiter.enter(60_000);
    table.drop("dead");
    expect(await Promise.all(ofDead)).toEqual(["busy", "busy", "busy"]);
    first.end(ANSWERED);
    (await next).end(ANSWERED);
  });

  it("go on with those behind one whose patience is over", async () => {
    const { clock, limiter } = tableOf({ perSecond: 1, burst: 1 });
    (await limiter.enter(0)).end(ANSWERED);
    const hasty = failureOf(limiter.enter(500));
    const behind = limiter.enter(60_000);
    clock.advance(500);
    expect(await hasty).toBe("busy");
    clock.advance(500);
    (await behind).end(ANSWERED);
  });

  it("keep no place for longer than that, though the clock is set back", () => {
    const [placeMs, day] = [15_000, 86_400_000];
    const record = newRecord(LIMITS, day);
    expect(admit(record, "dies", placeMs, { ...LIMITS, places: 1 }, day).kind).toBe("admitted");
    expect(admit(record, "next", placeMs, { ...LIMITS, places: 1 }, 0).kind).toBe("admitted");
  });

  it("send another probe once the place of the first is free again, its holder having died", () => {
    const [placeMs, record] = [15_000, newRecord(LIMITS, 0)];
    let now = 0;
    const enter = (id: string): string => admit(record, id, placeMs, LIMITS, now).kind;
    for (let i = 0; i < BREAKER.failures; i++) leave(record, String(i), FAILED, now);
    now += BREAKER.openMs;
    expect([enter("dies"), enter("too soon")]).toEqual(["admitted", "breaker"]);
    now += placeMs;
    expect([enter("next"), enter("too soon")]).toEqual(["admitted", "breaker"]);
  });

  it("free what a holder had that is gone, its probe too", async () => {
    const { clock, table } = tableOf({ places: 1 });
    const lost = await table.limiter("dead").enter(0);
    const waiting = table.limiter("alive").enter(1_000);
    table.drop("dead");
    (await waiting).end(ANSWERED);
    lost.end(FAILED); // too late to count
    expect(table.state().breaker).toBe("closed");
    clock.advance(1);
  });
});

describe.skipIf(redisServer === undefined)("limiters in Redis", () => {
  let redis: RunningRedis;
  let client: Redis;
  let nodes = 0;
  async function nodeOf(limits: Partial<Limits>) {
    const link = new RedisLink({
      target: parseRedisUrl(`redis://127.0.0.1:${redis.port}`),
      caPem: undefined,
      budgetMs: 5_000,
      clock: systemClock,
      onSurvived: () => undefined,
    });
    await until(async () => (await link.ask("", (each) => each.ping())) === "PONG");
    const all = { places: 100, perSecond: Infinity, burst: Infinity, ...limits };
    const without = new LimiterTable({ ...all, places: 0 }, systemClock).limiter("");
    return { link, limiter: new RedisLimiter(`test-${nodes++}`, link, all, systemClock, without) };
  }
  // The very scripts, with a clock that the test owns.
  const clocked = (lua: string) =>
    lua.replace(
      /local time = redis\.call\('TIME'\)\nlocal micros = .*\n/,
      "local micros = ARGV[#ARGV] * 1000\n",
    );
  beforeAll(async () => {
    redis = await startRedis(redisServer ?? "");
    client = new Redis({ host: "127.0.0.1", port: redis.port });
  });
  afterAll(async () => {
    client.disconnect();
    await redis.stop();
  });

  it("let nobody wait beyond his own patience, however patient those before him are", async () => {
    const { link, limiter } = await nodeOf({ places: 1 });
    const first = await limiter.enter(1_000);
    const patient = limiter.enter(600_000);
    const hasty = [failureOf(limiter.enter(1)), failureOf(limiter.enter(20))];
    const last = limiter.enter(600_000);
    expect(await Promise.all(hasty)).toEqual(["busy", "busy"]);
    first.end(ANSWERED);
    (await patient).end(ANSWERED);
    (await last).end(ANSWERED);
    link.close();
  });

  it("follow the rules to the letter: the same requests, the same answers", async () => {
    const step = fc.oneof(
      fc.record({ what: fc.constant("enter" as const) }),
      fc.record({
        what: fc.constant("leave" as const),
        which: fc.nat(5),
        end: fc.oneof(
          { weight: 2, arbitrary: fc.constant(ANSWERED) },
          { weight: 6, arbitrary: fc.constant(FAILED) },
          { weight: 1, arbitrary: fc.constant<PassEnd>({ kind: "neither" }) },
          { weight: 1, arbitrary: fc.constant<PassEnd>({ kind: "rate-limited", retryAfterMs: 1_500 }) },
        ),
      }),
      fc.record({
        what: fc.constant("pass" as const),
        ms: fc.constantFrom(1, 40, 700, 1_000, 2_500, 40_000, -100, -50_000),
      }),
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        run += 1;
        const keys = [`{${run}}:places`, `{${run}}:limiter`] as const;
        let now = 1_700_000_000_000;
        const record = newRecord(LIMITS, now);
        const under: string[] = [];
        let ids = 0;
        for (const each of steps) {
          if (each.what === "pass") {
            now += each.ms;
          } else if (each.what === "enter") {
            const id = `id ${ids++}`;
            const model = admit(record, id, 15_000, LIMITS, now);
            const { places, perSecond, burst } = LIMITS;
            const args = [id, 15_000, places, perSecond, burst, now];
            const real = (await client.eval(
              clocked(FLEET_SCRIPTS.larderEnter.lua),
              2,
              ...keys,
              ...args,
            )) as string[];
            expect(real[0]).toBe(model.kind);
            if (model.kind === "wait") expect(Number(real[1])).toBeCloseTo(model.ms, -1);
            else if (model.kind !== "admitted") expect(Number(real[1])).toBe(model.leftMs);
            else under.push(id);
          } else {
            const id = under.splice(each.which % Math.max(1, under.length), 1)[0];
            if (id === undefined) continue;
            leave(record, id, each.end, now);
            const rest = each.end.kind === "rate-limited" ? 1_500 : 0;
            const args = [id, each.end.kind, rest, now];
            const real = (await client.eval(
              clocked(FLEET_SCRIPTS.larderLeave.lua),
              2,
              ...keys,
              ...args,
            )) as string[];
            expect(real.map(Number)).toEqual([record.restUntil, record.openings, record.openUntil]);
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});
