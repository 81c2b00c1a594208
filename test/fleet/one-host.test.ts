import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { fetchRaw } from "../support/client.ts";
import type { BuiltFile } from "../support/packages/build.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis } from "../support/redis.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const redisServer = inject("redisServer");
// A connection of its own for each request, so that workers answer in turn.
const headers = { connection: "close" };

let upstream: FakeUpstream;
let redis: RunningRedis | undefined;
let larder: LarderProcess;
let directory: string;
let wheel: BuiltFile;

beforeEach(async () => {
  upstream = await startUpstream();
  [wheel] = upstream.publish({ name: "demo", serial: 3, releases: [{ version: "1.0" }] })[0]!.releases[0]!
    .files as [BuiltFile];
  directory = mkdtempSync(join(tmpdir(), "larder-one-host-"));
});

afterEach(async () => {
  await larder.end("SIGKILL");
  await redis?.stop();
  redis = undefined;
  await upstream.close();
  // Orphans may be closing their files still.
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

const FLEETS: readonly [string, Record<string, string>][] = [
  ["one process", {}],
  ["two workers", { LARDER_WORKERS: "2" }],
  ["a node over Redis", { REDIS_URL: "" }],
];

describe.each(redisServer === undefined ? FLEETS.slice(0, 2) : FLEETS)("%s", (_, env) => {
  async function start(indexUrl: string): Promise<void> {
    if ("REDIS_URL" in env) redis = await startRedis(redisServer ?? "");
    larder = await startProcess({
      LARDER_UPSTREAM: indexUrl,
      LARDER_FILES_UPSTREAM: upstream.url,
      LARDER_DATA: directory,
      ...env,
      ...(redis && { REDIS_URL: `redis://127.0.0.1:${redis.port}` }),
    });
  }
  const statusOf = async (path: string): Promise<number> =>
    (await fetchRaw(larder.url, path, { headers })).status;

  it.each([
    ["a file", "", ".metadata"],
    ["what is beside a file", ".metadata", ""],
  ])("leaves the files host alone in all when it asks for that about %s", async (_what, asked, other) => {
    await start(upstream.url.replace("127.0.0.1", "localhost"));
    expect(await statusOf("/simple/demo/")).toBe(200);
    upstream.fault({ kind: "status", status: 429, retryAfter: "60" }, { path: wheel.path + asked });
    expect(await statusOf(wheel.path + asked)).toBe(503);
    expect(await statusOf(wheel.path + other)).toBe(503);
    expect(upstream.count(wheel.path + other)).toBe(0);
    // Another host has not asked for anything.
    expect(await statusOf("/pypi/demo/json")).toBe(200);
  });

  it("leaves alone an index that has the files too, when it asks for that about a file", async () => {
    await start(upstream.url);
    upstream.fault({ kind: "status", status: 429, retryAfter: "60" }, { path: wheel.path });
    expect(await statusOf(wheel.path)).toBe(503);
    expect(await statusOf("/pypi/demo/json")).toBe(503);
    expect(upstream.count()).toBe(1);
  });
});
