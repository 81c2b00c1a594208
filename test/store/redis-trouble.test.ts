import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type GuardedStore, guard } from "../../src/store/guarded.ts";
import { openRedisStore, type RedisStore } from "../../src/store/redis.ts";
import { parseRedisUrl } from "../../src/redis/url.ts";
import { type RunningRedis, startRedis, startRedisCluster, until } from "../support/redis.ts";
import { changeOf, entryOf, headOf } from "./entries.ts";

const redisServer = inject("redisServer") ?? "";
const BUDGET_MS = 150;
const DAY_MS = 86_400_000;

let redis: RunningRedis;
let inner: RedisStore;
let store: GuardedStore;
let survived: { what: string; error: unknown }[];

function open(url: string, expireAfterMs = 90 * DAY_MS): void {
  survived = [];
  const onSurvived = (what: string, _key: string, error: unknown): void =>
    void survived.push({ what, error });
  const shared = { clock: systemClock, budgetMs: BUDGET_MS, onSurvived };
  inner = openRedisStore({ ...shared, target: parseRedisUrl(url), expireAfterMs });
  store = guard(inner, shared);
}

/** Runs `work` and gives how long it took, in ms. */
async function timed(work: () => unknown): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

async function body(group: string): Promise<string | undefined> {
  const { entry } = await store.read(group, "json");
  return entry === undefined ? undefined : (await store.readBody(entry))?.toString();
}

const key = (group: string, rest: string): string => `larder:1:{${group}}:${rest}`;

describe.skipIf(redisServer === "")("the guarded Redis store lives on", () => {
  beforeEach(async () => {
    redis = await startRedis(redisServer);
    open(`redis://127.0.0.1:${redis.port}`);
    await inner.connected();
    await store.write(changeOf("django", "json", 1, Buffer.from("before")));
  });
  afterEach(async () => {
    await store.close();
    await redis.stop();
  });

  it("when Redis hangs: a miss within the budget, none for the requests after it, and back when it is", async () => {
    redis.pause();
    expect(await timed(() => body("django"))).toBeLessThan(BUDGET_MS + 150);
    expect(await timed(() => Promise.all(Array.from({ length: 200 }, () => body("django"))))).toBeLessThan(
      BUDGET_MS,
    );
    expect(await body("django")).toBeUndefined();
    expect(store.state()).toMatchObject({
      is: "down",
      lastError: expect.stringContaining("no answer") as string,
    });
    redis.resume();
    await until(async () => (await body("django")) === "before");
    expect(store.state().is).toBe("up");
    expect(survived.map(({ what }) => what)).toEqual(["store: read"]);
  });

  it("when Redis is gone, and when it comes back empty, its scripts forgotten", async () => {
    await redis.kill();
    await until(() => Promise.resolve(survived.length > 0));
    expect(await timed(() => body("django"))).toBeLessThan(BUDGET_MS);
    expect(await store.write(changeOf("django", "json", 2, Buffer.from("lost"), 1))).toBe("failed");
    await redis.start();
    await until(
      async () => (await store.write(changeOf("django", "json", 3, Buffer.from("after"), 1))) === "written",
    );
    await until(async () => (await body("django")) === "after");
    const connections = survived.filter(({ what }) => what === "store: connection");
    expect(connections).toHaveLength(1);
  });

  it("when its scripts are flushed", async () => {
    await redis.command("SCRIPT", "FLUSH");
    expect(await body("django")).toBe("before");
    expect(survived).toEqual([]);
  });

  it("when a key of its own holds something else", async () => {
    await redis.command("SET", key("odd", "head"), "not a hash");
    expect(await store.read("odd", "geheim")).toMatchObject({ head: undefined, entry: undefined });
    expect(await store.write(changeOf("odd", "geheim", 1, Buffer.from("x")))).toBe("failed");
    expect(survived.map(({ what }) => what)).toEqual(["store: read", "store: write"]);
    // ioredis hangs the command, arguments and all, onto its errors.
    expect(inspect(survived, { depth: 9, showHidden: true })).toMatch(/WRONGTYPE/);
    expect(inspect(survived, { depth: 9, showHidden: true })).not.toContain("geheim");
  });

  it("when an entry in it is not one", async () => {
    await redis.command("HSET", key("django", "e:json"), "1", "{not json");
    expect(await store.read("django", "json")).toEqual({ head: headOf(1), entry: undefined });
    expect(await store.write(changeOf("django", "json", 2, Buffer.from("after"), 1))).toBe("written");
    expect(await body("django")).toBe("after");
    expect(survived).toEqual([]);
  });
});

describe.skipIf(redisServer === "")("the Redis store's start", () => {
  it("neither waits for a Redis that is not there, nor fails", async () => {
    redis = await startRedis(redisServer);
    await redis.kill();
    open(`redis://127.0.0.1:${redis.port}`);
    expect(await timed(() => body("django"))).toBeLessThan(BUDGET_MS);
    await redis.start();
    await until(
      async () => (await store.write(changeOf("django", "json", 1, Buffer.from("x")))) === "written",
    );
    await store.close();
    await redis.stop();
  });

  it("with a wrong password tells of it, once, and never what it was, nor what was to be stored", async () => {
    redis = await startRedis(redisServer, { password: "right" });
    open(`redis://me:geheim@127.0.0.1:${redis.port}`);
    await until(() => Promise.resolve(survived.length > 0));
    try {
      await inner.write(changeOf("django", "json", 1, Buffer.from("geheim")));
    } catch (error) {
      survived.push({ what: "write", error });
    }
    expect(survived).toHaveLength(2);
    expect(inspect(survived, { depth: 9, showHidden: true })).toMatch(/WRONGPASS/);
    expect(inspect(survived, { depth: 9, showHidden: true })).not.toContain("geheim");
    await store.close();
    await redis.stop();
  });
});

describe.skipIf(redisServer === "")("what Redis evicts", () => {
  beforeAll(async () => {
    redis = await startRedis(redisServer);
    open(`redis://127.0.0.1:${redis.port}`, 10 * DAY_MS);
    await inner.connected();
  });
  beforeEach(async () => {
    await redis.command("FLUSHALL");
    await store.write(changeOf("django", "json", 5, Buffer.from("body")));
  });
  afterAll(async () => {
    await store.close();
    await redis.stop();
  });

  it("is found literally by group, name and generation", async () => {
    expect(await redis.command("HGET", key("django", "e:json"), "5:body")).toContain("body");
    expect(await redis.command("HGET", key("django", "e:json"), "5")).toContain(
      '"group":"django","name":"json"',
    );
    expect(await redis.command("HGET", key("django", "head"), "generation")).toContain("5");
    expect(await redis.command("SISMEMBER", key("django", "names"), "json")).toBe("1");
    expect(await redis.command("DBSIZE")).toBe("3");
  });

  it("is a miss where it is the entry under its head", async () => {
    const { entry } = await store.read("django", "json");
    await redis.command("DEL", key("django", "e:json"));
    expect(await store.read("django", "json")).toEqual({ head: headOf(5), entry: undefined });
    expect(await store.readBody(entry!)).toBeUndefined();
  });

  it("leaves the entry where it is the head above it", async () => {
    await redis.command("DEL", key("django", "head"));
    const { head, entry } = await store.read("django", "json");
    expect([head, entry?.generation]).toEqual([undefined, 5]);
  });

  it("is a miss where it is the index, so that removing a group leaves nothing behind it", async () => {
    await redis.command("DEL", key("django", "names"));
    expect((await store.read("django", "json")).entry).toBeUndefined();
    await store.remove("django");
    await store.write(changeOf("django", "other", 1, Buffer.from("x"), 0));
    expect((await store.read("django", "json")).entry).toBeUndefined();
    // Nor does a confirmation bring back what was behind it.
    const entry = entryOf("django", "json", 5, Buffer.from("body"));
    await store.write({ group: "django", head: headOf(5), basis: 1, entry });
    expect(await store.readBody(entry)).toBeUndefined();
  });

  it("may be everything: each key has an expiry, which writing sets and reading and touching put off", async () => {
    const keys = [key("django", "head"), key("django", "names"), key("django", "e:json")];
    const left = async (): Promise<number> =>
      Math.min(...(await Promise.all(keys.map(async (name) => Number(await redis.command("PTTL", name))))));
    const age = (): Promise<unknown> =>
      Promise.all(keys.map((name) => redis.command("PEXPIRE", name, "5000")));
    expect(await left()).toBeGreaterThan(9.9 * DAY_MS);
    await age();
    await store.read("django", "json");
    expect(await left()).toBeGreaterThan(9.9 * DAY_MS);
    await age();
    await store.touch([{ group: "django", name: "json" }]);
    expect(await left()).toBeGreaterThan(9.9 * DAY_MS);
    await store.write({ group: "flask", head: headOf(1), basis: 0 });
    expect(Number(await redis.command("PTTL", key("flask", "head")))).toBeGreaterThan(9.9 * DAY_MS);
  });
});

describe.skipIf(redisServer === "")("a Redis that is full", () => {
  afterEach(async () => {
    await store.close();
    await redis.stop();
  });

  async function fill(policy: string): Promise<string[]> {
    redis = await startRedis(redisServer, { args: ["--maxmemory", "6mb", "--maxmemory-policy", policy] });
    open(`redis://127.0.0.1:${redis.port}`);
    await inner.connected();
    const outcomes: string[] = [];
    for (let i = 0; i < 300; i += 1) {
      outcomes.push(await store.write(changeOf(`group-${i}`, "json", 1, randomBytes(50_000))));
    }
    return outcomes;
  }

  async function expectOnlyWholeEntries(): Promise<number> {
    let held = 0;
    for (let i = 0; i < 300; i += 1) {
      const { entry } = await store.read(`group-${i}`, "json");
      if (entry === undefined) continue;
      expect((await store.readBody(entry))?.length).toBe(50_000);
      held += 1;
    }
    return held;
  }

  it.each(["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"])(
    "goes on under %s: some are misses, none is wrong",
    async (policy) => {
      expect(new Set(await fill(policy))).toEqual(new Set(["written"]));
      const held = await expectOnlyWholeEntries();
      expect(held).toBeGreaterThan(5);
      expect(held).toBeLessThan(150);
      expect(survived).toEqual([]);
    },
  );

  it("goes on under noeviction: it still reads, and has not written what it could not", async () => {
    const outcomes = await fill("noeviction");
    expect(new Set(outcomes)).toEqual(new Set(["written", "failed"]));
    const held = await expectOnlyWholeEntries();
    expect(held).toBe(outcomes.filter((outcome) => outcome === "written").length);
    expect(survived.map(({ what }) => what)).toEqual(["store: write"]);
    expect(store.state()).toMatchObject({ is: "down", lastError: expect.stringContaining("OOM") as string });
    await store.remove("group-0");
    expect((await store.read("group-0", "json")).head).toBeUndefined();
  });
});

describe.skipIf(redisServer === "")("a Cluster", () => {
  it("without one of its nodes is a cold store for what that one had, and recovers with it", async () => {
    const nodes = await startRedisCluster(redisServer);
    open(`redis+cluster://127.0.0.1:${nodes[0]!.port}`);
    await inner.connected();
    const groups = Array.from({ length: 12 }, (_, i) => `project-${i}`);
    for (const group of groups) await store.write(changeOf(group, "json", 1, Buffer.from(group)));
    nodes[1]!.pause();
    await Promise.all(groups.map((group) => body(group)));
    expect(store.state().is).toBe("down");
    nodes[1]!.resume();
    await until(async () =>
      (await Promise.all(groups.map((group) => body(group)))).every((text, i) => text === groups[i]),
    );
    await nodes[2]!.kill();
    await Promise.all(groups.map((group) => body(group)));
    expect(store.state().is).toBe("down");
    await nodes[2]!.start();
    const rewrite = async (group: string) =>
      await store.write(changeOf(group, "json", 2, Buffer.from(group), 1));
    for (const group of groups) await until(async () => (await rewrite(group)) !== "failed");
    await until(async () =>
      (await Promise.all(groups.map((group) => body(group)))).every((text) => text !== undefined),
    );
    await store.close();
    await Promise.all(nodes.map((node) => node.stop()));
  });
});
