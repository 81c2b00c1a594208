import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { openRedisStore, type RedisStore } from "../../src/store/redis.ts";
import { parseRedisUrl } from "../../src/redis/url.ts";
import { type RunningRedis, startRedis, startRedisCluster, startSentinel } from "../support/redis.ts";
import { createTestPki, type TestPki } from "../support/tls.ts";
import { describeStore, type Ground } from "./contract.ts";
import { changeOf } from "./entries.ts";

const redisServer = inject("redisServer") ?? "";
const DAY_MS = 86_400_000;

function open(url: string, caPem?: string): RedisStore {
  return openRedisStore({
    target: parseRedisUrl(url),
    caPem,
    clock: systemClock,
    budgetMs: 5_000,
    expireAfterMs: 90 * DAY_MS,
    onSurvived: (what, key, error) => {
      throw new Error(`${what} ${key}`, { cause: error });
    },
  });
}

async function connected(url: string, caPem?: string): Promise<RedisStore> {
  const store = open(url, caPem);
  await store.connected();
  return store;
}

describe.skipIf(redisServer === "")("with a standalone Redis", () => {
  let redis: RunningRedis;
  beforeAll(async () => {
    redis = await startRedis(redisServer, { password: "geheim" });
  });
  afterAll(() => redis.stop());

  describeStore("the Redis store", () => fresh(() => `redis://:geheim@127.0.0.1:${redis.port}/3`, [redis]));
});

describe.skipIf(redisServer === "")("with a Redis Cluster", () => {
  let nodes: readonly RunningRedis[];
  beforeAll(async () => {
    nodes = await startRedisCluster(redisServer);
  });
  afterAll(() => Promise.all(nodes.map((node) => node.stop())));
  const url = (): string => `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;

  describeStore("the Redis store in a Cluster", () => fresh(url, nodes));

  it("spreads groups over the nodes, and keeps each group on one", async () => {
    const store = await connected(url());
    const groups = Array.from({ length: 40 }, (_, i) => `project-${i}`);
    for (const group of groups) await store.write(changeOf(group, "json", 1, Buffer.from(group)));
    const keys = await Promise.all(nodes.map((node) => node.command("KEYS", "larder:1:*")));
    const groupsOf = keys.map(
      (text) => new Set([...text.matchAll(/\{(project-\d+)\}/g)].map(([, group]) => group)),
    );
    for (const found of groupsOf) expect(found.size).toBeGreaterThan(0);
    expect(groupsOf.reduce((sum, { size }) => sum + size, 0)).toBe(groups.length);
    await store.close();
  });
});

describe.skipIf(redisServer === "")("with a Redis behind Sentinel", () => {
  let master: RunningRedis;
  let sentinel: RunningRedis;
  beforeAll(async () => {
    master = await startRedis(redisServer);
    sentinel = await startSentinel(redisServer, master);
  });
  afterAll(() => Promise.all([master.stop(), sentinel.stop()]));

  describeStore("the Redis store behind Sentinel", () =>
    fresh(() => `redis+sentinel://127.0.0.1:${sentinel.port}/larder`, [master]),
  );
});

describe.skipIf(redisServer === "")("with a Redis that speaks TLS", () => {
  let redis: RunningRedis;
  let pki: TestPki;
  beforeAll(async () => {
    pki = createTestPki();
    redis = await startRedis(redisServer, { tls: pki });
  });
  afterAll(() => redis.stop());

  it("reads and writes over rediss://, trusting the CA it is given", async () => {
    const store = await connected(`rediss://localhost:${redis.port}`, pki.ca);
    await store.write(changeOf("tls", "json", 1, Buffer.alloc(3_000_000, 7)));
    const { entry } = await store.read("tls", "json");
    expect((await store.readBody(entry!))?.length).toBe(3_000_000);
    await store.close();
  });

  it("does not trust a certificate of a CA it was not given", async () => {
    const survived = new Promise<unknown>((resolve) => {
      const store = openRedisStore({
        target: parseRedisUrl(`rediss://localhost:${redis.port}`),
        clock: systemClock,
        budgetMs: 100,
        expireAfterMs: DAY_MS,
        onSurvived: (_what, _key, error) => {
          resolve(error);
          void store.close();
        },
      });
    });
    expect(await survived).toMatchObject({ message: expect.stringMatching(/certificate/) as string });
  });
});

/** Fresh ground for a test of the contract: an emptied Redis. */
async function fresh(url: () => string, nodes: readonly RunningRedis[]): Promise<Ground> {
  await Promise.all(nodes.map((node) => node.command("FLUSHALL")));
  return { open: () => connected(url()), clear: () => Promise.resolve() };
}
