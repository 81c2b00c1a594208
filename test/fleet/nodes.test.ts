import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { BREAKER } from "../../src/fleet/limiter.ts";
import { fetchRaw, type Received } from "../support/client.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis, startRedisCluster } from "../support/redis.ts";
import { openTcpLink } from "../support/tcp-link.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const redisServer = inject("redisServer");
const DEMO = "/pypi/demo/json";
const TIMEOUT = 60_000;

let upstream: FakeUpstream;
let redis: RunningRedis[];
let nodes: LarderProcess[];
let directory: string;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10 });
  redis = [];
  nodes = [];
  directory = mkdtempSync(join(tmpdir(), "larder-nodes-"));
});

afterEach(async () => {
  for (const node of nodes) {
    node.child.kill("SIGCONT");
    await node.end("SIGKILL");
  }
  for (const each of redis) await each.stop();
  await upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Nodes that share a Redis, each with a folder of its own. */
async function startNodes(count: number, redisUrl: string, env: Record<string, string> = {}): Promise<void> {
  const started = Array.from({ length: count }, async (_, i) =>
    startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES: "upstream",
      LARDER_DATA: join(directory, `node-${i}`),
      REDIS_URL: redisUrl,
      // A machine under test is slower than a healthy Redis.
      LARDER_REDIS_BUDGET: "2s",
      ...env,
    }),
  );
  nodes = await Promise.all(started);
}

async function startOneRedis(args: readonly string[] = []): Promise<string> {
  const one = await startRedis(redisServer ?? "", { args });
  redis.push(one);
  return `redis://127.0.0.1:${one.port}`;
}

const get = (node: number, path = DEMO): Promise<Received> => fetchRaw(nodes[node]!.url, path);

/** Asks all nodes for the same, so many times each. */
function askAll(times: number, path = DEMO): Promise<Received[]> {
  return Promise.all(nodes.flatMap((_, node) => Array.from({ length: times }, () => get(node, path))));
}

const serialOf = ({ headers }: Received): number => Number(headers["x-pypi-last-serial"]);

describe.skipIf(redisServer === undefined)("several nodes over one Redis", () => {
  it("make one upstream request of 200 cold ones", { timeout: TIMEOUT }, async () => {
    await startNodes(4, await startOneRedis());
    const gate = upstream.hold();
    const answers = askAll(50);
    await upstream.arrived(1);
    gate.release();
    const all = await answers;
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(all.map(({ body }) => body.toString("base64"))).size).toBe(1);
    expect(upstream.count(DEMO)).toBe(1);
    // Who came when all was over had a hit.
    expect(all.filter(({ cacheStatus }) => /collapsed|hit/.test(cacheStatus))).toHaveLength(199);
  });

  it("make one of them over a Cluster, too", { timeout: TIMEOUT }, async () => {
    const cluster = await startRedisCluster(redisServer ?? "");
    redis.push(...cluster);
    await startNodes(3, `redis+cluster://${cluster.map(({ port }) => `127.0.0.1:${port}`).join(",")}`);
    const gate = upstream.hold();
    const answers = askAll(20);
    await upstream.arrived(1);
    gate.release();
    expect(new Set((await answers).map(({ status }) => status))).toEqual(new Set([200]));
    expect(upstream.count(DEMO)).toBe(1);
  });

  it.each(["SIGKILL", "SIGSTOP"] as const)(
    "take over from a leader that %s ends: two upstream requests at most",
    { timeout: TIMEOUT },
    async (signal) => {
      await startNodes(4, await startOneRedis());
      const gate = upstream.hold();
      const lost = get(0).catch(() => undefined);
      await upstream.arrived(1);
      const others = Promise.all([1, 2, 3].flatMap((node) => Array.from({ length: 20 }, () => get(node))));
      nodes[0]!.child.kill(signal);
      await upstream.arrived(2);
      gate.release();
      expect(new Set((await others).map(({ status }) => status))).toEqual(new Set([200]));
      expect(upstream.count(DEMO)).toBe(2);
      nodes[0]!.child.kill("SIGCONT");
      await lost;
    },
  );

  it(
    "take over from a leader that is cut off from Redis, who still answers his own",
    { timeout: TIMEOUT },
    async () => {
      const url = await startOneRedis();
      const link = await openTcpLink(redis[0]!.port);
      await startNodes(1, `redis://127.0.0.1:${link.port}`);
      const [cutOff] = nodes;
      await startNodes(2, url);
      nodes = [...nodes, cutOff!];
      const gate = upstream.hold();
      const own = get(2);
      await upstream.arrived(1);
      const others = Promise.all([get(0), get(1)]);
      link.cut();
      await upstream.arrived(2);
      gate.release();
      expect((await others).map(({ status }) => status)).toEqual([200, 200]);
      expect((await own).status).toBe(200);
      expect(upstream.count(DEMO)).toBe(2);
    },
  );

  it("go on alone when the leader takes longer than they may wait", { timeout: TIMEOUT }, async () => {
    await startNodes(2, await startOneRedis(), { LARDER_LEASE_WAIT: "300ms" });
    const gate = upstream.hold();
    const [first] = [get(0)];
    await upstream.arrived(1);
    const second = get(1);
    await upstream.arrived(2);
    gate.release();
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
  });

  it("share a failure, and ask once more between them", { timeout: TIMEOUT }, async () => {
    await startNodes(4, await startOneRedis());
    upstream.fault({ kind: "status", status: 500 });
    const all = await askAll(10);
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([503]));
    // One who asked, one who tried again for each node's own crowd at the most.
    expect(upstream.count(DEMO)).toBeLessThanOrEqual(5);
  });

  it(
    "go on for one that stops while it asks, and hold nothing of it against upstream",
    { timeout: TIMEOUT },
    async () => {
      await startNodes(2, await startOneRedis());
      const paths = Array.from({ length: BREAKER.failures }, (_, i) => `/pypi/p${i}/json`);
      paths.forEach((_, i) => upstream.project(`p${i}`, { serial: i + 1 }));
      const gate = upstream.hold();
      const leaving = new AbortController();
      const left = paths.map((path) =>
        fetchRaw(nodes[0]!.url, path, { signal: leaving.signal }).catch(() => 0),
      );
      await upstream.arrived(paths.length);
      const answers = paths.map((path) => get(1, path));
      // Those who wait for the other's answers look every 500 ms whether he still asks.
      await Promise.all(paths.map(() => get(1, "/healthz")));
      leaving.abort();
      await Promise.all(left);
      await nodes[0]!.end("SIGTERM");
      gate.release();
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(paths.map(() => 200));
      expect((await get(1)).status).toBe(200);
    },
  );

  it("serve nothing older from memory once one of them has learnt newer", { timeout: TIMEOUT }, async () => {
    await startNodes(3, await startOneRedis(), { LARDER_COHERENCE: "60s", LARDER_NO_CACHE_AFTER: "0" });
    await askAll(2);
    upstream.project("demo", { serial: 11 });
    const headers = { "cache-control": "no-cache" };
    expect(serialOf(await fetchRaw(nodes[0]!.url, DEMO, { headers }))).toBe(11);
    for (const node of [0, 1, 2]) {
      await expect.poll(async () => serialOf(await get(node)), { timeout: 10_000 }).toBe(11);
    }
  });

  it("do so within LARDER_COHERENCE where the news are lost", { timeout: TIMEOUT }, async () => {
    const url = await startOneRedis(["--rename-command", "PUBLISH", ""]);
    await startNodes(2, url, { LARDER_COHERENCE: "500ms", LARDER_NO_CACHE_AFTER: "0" });
    await askAll(2);
    upstream.project("demo", { serial: 11 });
    const headers = { "cache-control": "no-cache" };
    expect(serialOf(await fetchRaw(nodes[0]!.url, DEMO, { headers }))).toBe(11);
    await expect.poll(async () => serialOf(await get(1)), { timeout: 10_000 }).toBe(11);
    expect(upstream.count(DEMO)).toBe(2);
  });

  it("know of a 404 that one of them was told", { timeout: TIMEOUT }, async () => {
    await startNodes(2, await startOneRedis(), { LARDER_NO_CACHE_AFTER: "0", LARDER_COHERENCE: "60s" });
    await askAll(2);
    upstream.remove("demo");
    const headers = { "cache-control": "no-cache" };
    expect((await fetchRaw(nodes[0]!.url, DEMO, { headers })).status).toBe(404);
    await expect.poll(async () => (await get(1)).status, { timeout: 10_000 }).toBe(404);
  });

  it("forget what is purged at one of them", { timeout: TIMEOUT }, async () => {
    await startNodes(2, await startOneRedis(), { LARDER_PURGE_FROM: "loopback", LARDER_COHERENCE: "60s" });
    await askAll(2);
    const description = "the same serial, another body";
    upstream.project("demo", { serial: 10, description });
    expect((await get(1)).body.toString()).not.toContain(description);
    const purged = await fetchRaw(nodes[0]!.url, "/simple/Demo/", { method: "PURGE" });
    expect([purged.status, purged.body.toString()]).toEqual([200, "purged demo\n"]);
    for (const node of [0, 1]) {
      await expect
        .poll(async () => (await get(node)).body.toString(), { timeout: 10_000 })
        .toContain(description);
    }
    expect(upstream.count(DEMO)).toBe(2);
  });

  it("take no answer from one another that was asked for before a purge", { timeout: TIMEOUT }, async () => {
    await startNodes(2, await startOneRedis(), { LARDER_PURGE_FROM: "loopback" });
    const gate = upstream.hold();
    const before = get(0);
    await upstream.arrived(1);
    await fetchRaw(nodes[1]!.url, "/simple/demo/", { method: "PURGE" });
    upstream.project("demo", { serial: 11 });
    const after = [0, 1, 1].map((node) => get(node));
    await Promise.all([0, 1].map((node) => get(node, "/healthz")));
    gate.release();
    expect(serialOf(await before)).toBe(10);
    expect((await Promise.all(after)).map(serialOf)).toEqual([11, 11, 11]);
    expect(upstream.count(DEMO)).toBe(2);
  });

  it("confirm for one another: one 304 for all", { timeout: TIMEOUT }, async () => {
    await startNodes(3, await startOneRedis(), { LARDER_FRESH: "2s", LARDER_STALE_WHILE_REVALIDATE: "0" });
    await askAll(1);
    await expect
      .poll(async () => (await get(0)).cacheStatus, { timeout: 10_000 })
      .toContain("fwd-status=304");
    const asked = upstream.count(DEMO);
    for (const node of [1, 2]) expect((await get(node)).status).toBe(200);
    expect(upstream.count(DEMO) - asked).toBeLessThanOrEqual(1);
  });

  it("leave upstream alone, all of them, when it asks one", { timeout: TIMEOUT }, async () => {
    await startNodes(3, await startOneRedis());
    upstream.project("other", { serial: 3 });
    upstream.fault({ kind: "status", status: 429, retryAfter: "30" }, { times: 1 });
    expect((await get(0)).status).toBe(503);
    const asked = upstream.count();
    for (const node of [1, 2]) {
      const { status, headers } = await get(node, "/pypi/other/json");
      expect(status).toBe(503);
      expect(Number(headers["retry-after"])).toBeGreaterThan(20);
    }
    expect(upstream.count()).toBe(asked);
  });

  it("go on leaving it alone, though Redis is gone that remembers it", { timeout: TIMEOUT }, async () => {
    await startNodes(2, await startOneRedis());
    upstream.project("other", { serial: 3 });
    upstream.fault({ kind: "status", status: 429, retryAfter: "60" }, { times: 1 });
    expect((await get(0)).status).toBe(503);
    expect((await get(1, "/pypi/other/json")).status).toBe(503);
    await redis[0]!.kill();
    for (const node of [0, 1]) expect((await get(node, "/pypi/other/json")).status).toBe(503);
    expect(upstream.count()).toBe(1);
  });

  it("show no project older than the list that another of them has shown", { timeout: TIMEOUT }, async () => {
    await startNodes(2, await startOneRedis());
    for (const node of [0, 1]) expect(serialOf(await get(node))).toBe(10);
    upstream.project("demo", { serial: 11 });
    expect((await get(0, "/simple/")).status).toBe(200);
    await expect.poll(async () => serialOf(await get(1))).toBe(11);
  });

  it("have no more requests under way than one budget allows", { timeout: TIMEOUT }, async () => {
    await startNodes(3, await startOneRedis(), { LARDER_UPSTREAM_CONNECTIONS: "4" });
    const paths = Array.from({ length: 30 }, (_, i) => `/pypi/p${i}/json`);
    paths.forEach((_, i) => upstream.project(`p${i}`, { serial: i + 1 }));
    const gate = upstream.hold();
    const all = Promise.all(paths.map((path, i) => get(i % 3, path)));
    await upstream.arrived(4);
    // Those who wait look again every 50 ms: after some looks none has come through.
    await Promise.all(Array.from({ length: 10 }, () => get(0, "/healthz")));
    expect(gate.waiting).toBe(4);
    gate.release();
    expect(new Set((await all).map(({ status }) => status))).toEqual(new Set([200]));
  });
});

describe("several workers over the embedded store", () => {
  async function startWorkers(env: Record<string, string> = {}): Promise<string> {
    nodes.push(
      await startProcess({
        LARDER_UPSTREAM: upstream.url,
        LARDER_FILES: "upstream",
        LARDER_DATA: directory,
        LARDER_WORKERS: "2",
        ...env,
      }),
    );
    return nodes[0]!.url;
  }
  // A connection of its own for each, so that both workers get some.
  const headers = { connection: "close" };

  it("leave upstream alone, all of them, when it asks one", { timeout: TIMEOUT }, async () => {
    const url = await startWorkers();
    const others = [1, 2, 3, 4].map((i) => `/pypi/other-${i}/json`);
    others.forEach((_, i) => upstream.project(`other-${i + 1}`, { serial: 3 }));
    upstream.fault({ kind: "status", status: 429, retryAfter: "30" }, { times: 1 });
    expect((await fetchRaw(url, DEMO, { headers })).status).toBe(503);
    for (const path of others) {
      const answer = await fetchRaw(url, path, { headers });
      expect(answer.status).toBe(503);
      expect(Number(answer.headers["retry-after"])).toBeGreaterThan(20);
    }
    expect(upstream.count()).toBe(1);
    const answered = (): unknown[] =>
      nodes[0]!
        .log()
        .filter(({ path }) => others.includes(String(path)))
        .map(({ worker }) => worker);
    await expect.poll(() => answered().length).toBe(others.length);
    expect(new Set(answered()).size).toBe(2);
  });

  it("make one upstream request of 100 cold ones", { timeout: TIMEOUT }, async () => {
    const url = await startWorkers();
    const gate = upstream.hold();
    const answers = Promise.all(Array.from({ length: 100 }, () => fetchRaw(url, DEMO, { headers })));
    await upstream.arrived(1);
    gate.release();
    const all = await answers;
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect(upstream.count(DEMO)).toBe(1);
    expect(
      new Set(
        nodes[0]!
          .log()
          .map(({ worker }) => worker)
          .filter(Number.isInteger),
      ).size,
    ).toBe(2);
  });

  it(
    "take over from one that is killed while it asks, and keep one budget",
    { timeout: TIMEOUT },
    async () => {
      const url = await startWorkers({ LARDER_UPSTREAM_CONNECTIONS: "1" });
      const gate = upstream.hold();
      const asked = Array.from({ length: 20 }, () => fetchRaw(url, DEMO, { headers }).catch(() => undefined));
      await upstream.arrived(1);
      const before = nodes[0]!.workerPids();
      // Whoever leads, one of the two dies; if it was not the leader, nothing is asked again.
      process.kill(before[0]!, "SIGKILL");
      gate.release();
      const answers = await Promise.all(asked);
      expect(answers.filter((answer) => answer?.status === 200).length).toBeGreaterThan(0);
      expect(upstream.count(DEMO)).toBeLessThanOrEqual(2);
      expect((await fetchRaw(url, DEMO, { headers })).status).toBe(200);
    },
  );
});
