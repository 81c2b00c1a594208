import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis } from "../support/redis.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { download } from "./download.ts";
import { hashPath, someBytes } from "./file-cache.ts";

const redisServer = inject("redisServer");
const MIB = 1024 * 1024;
const WHEEL = someBytes(48 * MIB);

let upstream: FakeUpstream;
let redis: RunningRedis;
let folder: string;
let nodes: LarderProcess[];
let path: string;
const whole = {
  sha256: createHash("sha256").update(WHEEL).digest("hex"),
  bytes: WHEEL.length,
  complete: true,
};

/** A real larder with a data directory of its own, which shares Redis and the folder of files. */
async function node(name: string): Promise<LarderProcess> {
  const started = await startProcess({
    LARDER_UPSTREAM: upstream.url,
    LARDER_FILES_UPSTREAM: upstream.url,
    LARDER_DATA: join(folder, name),
    LARDER_FILES_DIRECTORY: join(folder, "files"),
    LARDER_LOG_FORMAT: "json",
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
  });
  nodes.push(started);
  return started;
}

describe.skipIf(redisServer === undefined)("larders that share a Redis and a folder", () => {
  beforeEach(async () => {
    upstream = await startUpstream();
    redis = await startRedis(redisServer ?? "");
    folder = mkdtempSync(join(tmpdir(), "larder-nodes-"));
    nodes = [];
    path = await hashPath(WHEEL);
    upstream.file(path, WHEEL);
  });

  afterEach(async () => {
    for (const { child } of nodes) child.kill("SIGCONT");
    await Promise.all(nodes.map((each) => each.end("SIGKILL")));
    await upstream.close();
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("ask upstream once for what all of their clients want at once", async () => {
    const larders = await Promise.all(["a", "b", "c"].map((name) => node(name)));
    const clients = Array.from({ length: 30 }, (_, i) => download(larders[i % 3]!.url, path));
    for (const client of clients) expect(await client.done).toEqual(whole);
    expect(upstream.count(path)).toBe(1);
  });

  it.each(["SIGKILL", "SIGSTOP"] as const)(
    "go on without their clients noticing when the one that fetches gets a %s in the middle",
    async (signal) => {
      const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => node(name)));
      const gate = upstream.holdBody(path, 16 * MIB);
      const led = download(a!.url, path);
      await led.reached(16 * MIB);
      const followers = [b!, c!, b!, c!].map((each) => download(each.url, path));
      await Promise.all(followers.map((client) => client.reached(16 * MIB)));
      a!.child.kill(signal);
      gate.release();
      for (const client of followers) expect(await client.done).toEqual(whole);
      // One took over for both, from where the first had stopped.
      const ranges = upstream.requests.map(({ headers }) => headers.range);
      expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
    },
  );

  it("sweep up what one left that was killed, and nothing of the living", async () => {
    const [a, b] = [await node("a"), await node("b")];
    const other = WHEEL.subarray(0, 4 * MIB);
    const otherPath = await hashPath(other);
    upstream.file(otherPath, other);
    const gates = [path, otherPath].map((each) => upstream.holdBody(each, MIB));
    const lost = download(a.url, path);
    const lasting = download(b.url, otherPath);
    await Promise.all([lost, lasting].map((client) => client.reached(MIB - 1)));
    await a.end("SIGKILL");
    await node("c");
    const parts = (): string[] =>
      readdirSync(join(folder, "files", "tmp")).filter((name) => name.endsWith(".part"));
    await expect.poll(() => parts().length).toBe(1);
    for (const gate of gates) gate.release();
    expect((await lasting.done).complete).toBe(true);
  });
});

describe("workers of one machine", () => {
  // Port 1 of the loopback: nobody listens there.
  const GONE = "redis://127.0.0.1:1";
  it.each([
    ["over their own store", {}],
    ["though the Redis that they share is gone", { REDIS_URL: GONE }],
  ])("ask upstream once for a cold file that clients of all of them want, %s", async (_, env) => {
    upstream = await startUpstream();
    folder = mkdtempSync(join(tmpdir(), "larder-workers-"));
    path = await hashPath(WHEEL);
    upstream.file(path, WHEEL);
    const larder = await startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES_UPSTREAM: upstream.url,
      LARDER_DATA: folder,
      LARDER_WORKERS: "3",
      ...env,
    });
    try {
      const clients = Array.from({ length: 24 }, () => download(larder.url, path));
      for (const client of clients) expect(await client.done).toEqual(whole);
      expect(upstream.count(path)).toBe(1);
      const workers = new Set(
        larder.log().map(({ worker, msg }) => (msg === "request" ? worker : undefined)),
      );
      expect(workers.size).toBeGreaterThan(2); // and undefined
    } finally {
      await larder.end("SIGTERM"); // a primary that is killed leaves its workers to end by themselves
      await upstream.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
