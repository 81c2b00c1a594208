import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { fetchRaw } from "../support/client.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis, startRedisCluster } from "../support/redis.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const redisServer = inject("redisServer");

/** With its real clock: Redis has one of its own. */
describe.skipIf(redisServer === undefined)("larders over a real Redis", () => {
  let upstream: FakeUpstream;
  let running: RunningRedis[];
  let larders: LarderProcess[];
  let names = 0;

  beforeEach(async () => {
    upstream = await startUpstream();
    running = [];
    larders = [];
  });

  afterEach(async () => {
    for (const larder of larders) await larder.end("SIGKILL");
    for (const redis of running) await redis.stop();
    await upstream.close();
  });

  async function start(url: string, env: Record<string, string> = {}): Promise<string> {
    const larder = await startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES: "upstream",
      REDIS_URL: url,
      ...env,
    });
    larders.push(larder);
    return larder.url;
  }

  function newProject(): string {
    const name = `project-${names++}`;
    upstream.project(name, { serial: names });
    return `/pypi/${name}/json`;
  }

  const getNew = (url: string) => fetchRaw(url, newProject());

  async function startOne(args: readonly string[] = []): Promise<RunningRedis> {
    const redis = await startRedis(redisServer ?? "", { args });
    running.push(redis);
    return redis;
  }

  it("keep in memory as it came what Redis has not taken: another host's URLs are made of it", async () => {
    const gone = "redis://127.0.0.1:1";
    const [url, path] = [await start(gone, { LARDER_FILES: "larder" }), newProject()];
    const ask = (host: string) => fetchRaw(url, path, { headers: { host, "accept-encoding": "gzip" } });
    await ask("one.example");
    await upstream.down();
    const other = await ask("two.example");
    expect(other.status).toBe(200);
    expect(other.decoded.toString()).toContain('"url":"http://two.example/packages/');
  });

  it("share what one of them has fetched, and a newer serial that one of them has learnt", async () => {
    const redis = await startOne();
    const url = `redis://127.0.0.1:${redis.port}`;
    const [first, second] = [await start(url), await start(url)];
    upstream.project("shared", { serial: 100, releases: ["1.0"] });
    const cold = await fetchRaw(first, "/pypi/shared/json");
    const warm = await fetchRaw(second, "/pypi/shared/json");
    expect(warm.cacheStatus).toMatch(/^larder; hit; ttl=\d+$/);
    expect(warm.body.equals(cold.body)).toBe(true);
    expect(warm.headers.etag).toBe(cold.headers.etag);
    expect(upstream.count("/pypi/shared/json")).toBe(1);
    upstream.project("shared", { serial: 101, releases: ["1.0"] });
    await fetchRaw(first, "/pypi/shared/1.0/json");
    const third = await start(url);
    expect((await fetchRaw(third, "/pypi/shared/json")).headers["x-pypi-last-serial"]).toBe("101");
  });

  it("go on when Redis hangs, at no more than its budget for each, and recover by themselves", async () => {
    const redis = await startOne();
    const url = await start(`redis://127.0.0.1:${redis.port}`);
    const held = newProject();
    await fetchRaw(url, held);
    redis.pause();
    expect((await fetchRaw(url, held)).cacheStatus).toContain("hit"); // from memory
    const began = performance.now();
    const missed = await Promise.all([getNew(url), getNew(url), getNew(url)]);
    expect(missed.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(missed[0].cacheStatus).not.toContain("stored");
    const ready = await fetchRaw(url, "/readyz");
    expect([ready.status, JSON.parse(ready.body.toString())]).toMatchObject([200, { store: { is: "down" } }]);
    redis.resume();
    await expect.poll(async () => (await getNew(url)).cacheStatus, { timeout: 10_000 }).toContain("stored");
  });

  it("go on when Redis is gone, from boot too, and recover by themselves", async () => {
    const redis = await startOne();
    const redisUrl = `redis://127.0.0.1:${redis.port}`;
    await redis.kill();
    const larder = await startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES: "upstream",
      REDIS_URL: redisUrl,
    });
    larders.push(larder);
    expect((await getNew(larder.url)).status).toBe(200);
    await redis.start();
    await expect
      .poll(async () => (await getNew(larder.url)).cacheStatus, { timeout: 10_000 })
      .toContain("stored");
    await redis.kill();
    const after = await getNew(larder.url);
    expect([after.status, after.cacheStatus]).toMatchObject([
      200,
      expect.not.stringContaining("stored") as string,
    ]);
  });

  it("take a document that Redis has evicted under its head for a miss, and a full Redis for a cold one", async () => {
    const redis = await startOne();
    const url = await start(`redis://127.0.0.1:${redis.port}`, { LARDER_MEMORY: "0" });
    const path = newProject();
    await fetchRaw(url, path);
    expect((await fetchRaw(url, path)).cacheStatus).toContain("hit");
    const group = path.split("/")[2] ?? "";
    expect(Number(await redis.command("DEL", `larder:1:{${group}}:e:json`))).toBe(1);
    expect((await fetchRaw(url, path)).cacheStatus).toContain("fwd=miss; fwd-status=200; stored");
    await redis.command("CONFIG", "SET", "maxmemory", "1");
    const full = await getNew(url);
    expect([full.status, full.cacheStatus]).toMatchObject([
      200,
      expect.not.stringContaining("stored") as string,
    ]);
  });

  it("work over a Cluster of three", async () => {
    const nodes = await startRedisCluster(redisServer ?? "");
    running.push(...nodes);
    const redisUrl = `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
    const [first, second] = [await start(redisUrl), await start(redisUrl)];
    const paths = Array.from({ length: 30 }, newProject);
    for (const path of paths) expect((await fetchRaw(first, path)).cacheStatus).toContain("stored");
    for (const path of paths) expect((await fetchRaw(second, path)).cacheStatus).toContain("hit");
    for (const node of nodes) expect(Number(await node.command("DBSIZE"))).toBeGreaterThan(0);
  });
});
