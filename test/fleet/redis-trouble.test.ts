import { Redis } from "ioredis";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { fetchRaw, type Received } from "../support/client.ts";
import { TestClock } from "../support/clock.ts";
import { startLarder } from "../support/larder.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis, startRedisCluster, startSentinel, until } from "../support/redis.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const redisServer = inject("redisServer");
const PATIENT = { timeout: 60_000 };
const RECOVERED = { timeout: 20_000 };

let upstream: FakeUpstream;
let redis: RunningRedis[];
let nodes: LarderProcess[];
let directory: string;
let names = 0;

beforeEach(async () => {
  upstream = await startUpstream();
  redis = [];
  nodes = [];
  directory = mkdtempSync(join(tmpdir(), "larder-trouble-"));
});

afterEach(async () => {
  for (const node of nodes) await node.end("SIGKILL");
  for (const each of redis) await each.stop();
  await upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

async function startOne(args: readonly string[] = []): Promise<RunningRedis> {
  const one = await startRedis(redisServer ?? "", { args });
  redis.push(one);
  return one;
}

async function startNodes(redisUrl: string): Promise<void> {
  const started = [0, 1].map((i) =>
    startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES: "upstream",
      LARDER_DATA: join(directory, String(i)),
      REDIS_URL: redisUrl,
    }),
  );
  nodes = await Promise.all(started);
}

function newPath(): string {
  const name = `project-${names++}`;
  upstream.project(name, { serial: names });
  return `/pypi/${name}/json`;
}

const get = (node: number, path: string): Promise<Received> => fetchRaw(nodes[node]!.url, path);

/** A new project is asked for at the first node. @returns the status, and whether it could be stored */
async function tryNew(): Promise<{ status: number; stored: boolean }> {
  const { status, cacheStatus } = await get(0, newPath());
  return { status, stored: /\bstored\b/.test(cacheStatus) };
}

/** Every request is answered rightly while the trouble lasts, and one day it is over. */
async function servesUntilRecovered(): Promise<void> {
  await expect
    .poll(async () => {
      const { status, stored } = await tryNew();
      expect(status).toBe(200);
      return stored;
    }, RECOVERED)
    .toBe(true);
  const shared = newPath();
  await get(0, shared);
  await expect.poll(async () => (await get(1, shared)).cacheStatus, RECOVERED).toContain("hit");
}

describe.skipIf(redisServer === undefined)("nodes over a Redis in trouble", () => {
  it("go on when it is a read-only replica, and write again when it is none", PATIENT, async () => {
    const [one, other] = [await startOne(), await startOne()];
    await startNodes(`redis://127.0.0.1:${one.port}`);
    const held = newPath();
    expect((await get(0, held)).status).toBe(200);
    await one.command("REPLICAOF", "127.0.0.1", String(other.port));
    await expect.poll(tryNew, RECOVERED).toEqual({ status: 200, stored: false });
    expect((await get(1, held)).status).toBe(200);
    await one.command("REPLICAOF", "NO", "ONE");
    await servesUntilRecovered();
  });

  it("go on when it is full, leases and all, and recover", PATIENT, async () => {
    const one = await startOne();
    await startNodes(`redis://127.0.0.1:${one.port}`);
    await one.command("CONFIG", "SET", "maxmemory", "1");
    const gate = upstream.hold();
    const path = newPath();
    const both = Promise.all([get(0, path), get(1, path)]);
    await upstream.arrived(2); // no lease can be had: each asks for itself
    gate.release();
    expect((await both).map(({ status }) => status)).toEqual([200, 200]);
    await one.command("CONFIG", "SET", "maxmemory", "0");
    await servesUntilRecovered();
  });

  it("go on through a failover by Sentinel", PATIENT, async () => {
    const [master, replica] = [await startOne(), await startOne()];
    await replica.command("REPLICAOF", "127.0.0.1", String(master.port));
    await until(async () => (await replica.command("INFO", "replication")).includes("master_link_status:up"));
    const sentinel = await startSentinel(redisServer ?? "", master);
    redis.push(sentinel);
    const asker = new Redis({ host: "127.0.0.1", port: sentinel.port });
    await until(async () =>
      JSON.stringify(await asker.call("SENTINEL", "REPLICAS", "larder")).includes(String(replica.port)),
    );
    asker.disconnect();
    await startNodes(`redis+sentinel://127.0.0.1:${sentinel.port}/larder`);
    const held = newPath();
    expect((await get(0, held)).cacheStatus).toContain("stored");
    await until(async () => Number(await replica.command("DBSIZE")) > 0);
    await master.kill();
    for (let i = 0; i < 5; i++) expect((await tryNew()).status).toBe(200);
    await until(async () => (await replica.command("ROLE")).includes("master"));
    await servesUntilRecovered();
    expect((await get(1, held)).status).toBe(200);
  });

  it("go on while a slot moves within a Cluster", PATIENT, async () => {
    const cluster = await startRedisCluster(redisServer ?? "");
    redis.push(...cluster);
    await startNodes(`redis+cluster://${cluster.map(({ port }) => `127.0.0.1:${port}`).join(",")}`);
    const path = newPath();
    expect((await get(0, path)).cacheStatus).toContain("stored");
    const group = path.split("/")[2] ?? "";
    const key = `larder:1:{${group}}:head`;
    const slot = await cluster[0]!.command("CLUSTER", "KEYSLOT", key);
    const ids = await Promise.all(cluster.map((each) => each.command("CLUSTER", "MYID")));
    const idOf = (i: number): string => ids[i]!.split("\r\n").at(-1)!;
    const counts = await Promise.all(cluster.map((each) => each.command("CLUSTER", "COUNTKEYSINSLOT", slot)));
    const from = counts.findIndex((count) => Number(count) > 0);
    const to = (from + 1) % 3;
    await cluster[to]!.command("CLUSTER", "SETSLOT", slot, "IMPORTING", idOf(from));
    await cluster[from]!.command("CLUSTER", "SETSLOT", slot, "MIGRATING", idOf(to));
    expect((await get(1, path)).status).toBe(200);
    const keys = (await cluster[from]!.command("CLUSTER", "GETKEYSINSLOT", slot, "100"))
      .split("\r\n")
      .filter((line) => line.startsWith("larder:"));
    expect(keys.length).toBeGreaterThan(1);
    const target = ["127.0.0.1", String(cluster[to]!.port)];
    await cluster[from]!.command("MIGRATE", ...target, keys[0]!, "0", "5000");
    // Half of the group is here and half is there: Redis answers TRYAGAIN to what needs both.
    upstream.project(group, { serial: 99_999 });
    expect((await get(0, path)).status).toBe(200);
    for (const each of keys.slice(1)) await cluster[from]!.command("MIGRATE", ...target, each, "0", "5000");
    for (const node of [to, from]) await cluster[node]!.command("CLUSTER", "SETSLOT", slot, "NODE", idOf(to));
    await servesUntilRecovered();
    await expect.poll(async () => (await get(1, path)).cacheStatus, RECOVERED).toContain("hit");
  });

  it("live through an hour without it, and find it again", PATIENT, async () => {
    const one = await startOne();
    const clock = new TestClock(Date.now());
    const larder = await startLarder({
      upstream,
      clock,
      env: { REDIS_URL: `redis://127.0.0.1:${one.port}` },
    });
    const held = newPath();
    await expect.poll(async () => (await larder.get(newPath())).cacheStatus, RECOVERED).toContain("stored");
    await larder.get(held);
    await one.kill();
    for (let minutes = 0; minutes < 60; minutes += 10) {
      clock.advance(600_000);
      expect((await larder.get(held)).status).toBe(200);
      expect((await larder.get(newPath())).status).toBe(200);
    }
    await one.start();
    await expect
      .poll(async () => {
        clock.advance(1_000);
        return (await larder.get(newPath())).cacheStatus;
      }, RECOVERED)
      .toContain("stored");
    await larder.close();
  });
});
