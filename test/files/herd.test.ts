import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { download } from "./download.ts";
import { type FileCache, hashPath, someBytes, startFileCache } from "./file-cache.ts";
import { startFileCacheProcess } from "./process.ts";

const MIB = 1024 * 1024;
const WHEEL = someBytes(80 * MIB);
const CLIENTS = 16;

let sha256: string;
let path: string;
let upstream: FakeUpstream;
let cache: FileCache;

beforeAll(async () => {
  sha256 = createHash("sha256").update(WHEEL).digest("hex");
  path = await hashPath(WHEEL);
  upstream = await startUpstream();
  upstream.file(path, WHEEL);
});

afterAll(() => upstream.close());

beforeEach(async () => {
  cache = await startFileCache({ upstreamUrl: upstream.url, clock: systemClock });
});

afterEach(() => cache.close());

describe("80 MB, cold, for 16 clients at once", () => {
  it("cost one request, begin before upstream ends, and are whole for all", async () => {
    const before = upstream.count(path);
    const gate = upstream.holdBody(path, WHEEL.length - 1);
    const clients = Array.from({ length: CLIENTS }, () => download(cache.url, path));
    await Promise.all(clients.map((client) => client.firstByte));
    // All but the last byte is there for everybody while upstream still holds that one back.
    await gate.reached;
    await Promise.all(clients.map((client) => client.reached(WHEEL.length - 1)));
    gate.release();
    const ends = await Promise.all(clients.map((client) => client.done));
    for (const end of ends) expect(end).toEqual({ sha256, bytes: WHEEL.length, complete: true });
    expect(upstream.count(path) - before).toBe(1);
  });

  it("go on when the first of them leaves, and all the others too", async () => {
    const gate = upstream.holdBody(path, 10 * MIB);
    const leader = download(cache.url, path);
    await leader.firstByte;
    const follower = download(cache.url, path);
    const other = download(cache.url, path);
    await Promise.all([follower.firstByte, other.firstByte]);
    leader.leave();
    await leader.done;
    gate.release();
    other.leave();
    expect(await follower.done).toEqual({ sha256, bytes: WHEEL.length, complete: true });
    const warm = download(cache.url, path);
    expect((await warm.head).headers["cache-status"]).toBe("larder; hit; ttl=365000000");
    await warm.done;
  });

  it("are stored although nobody stays for them", async () => {
    const only = download(cache.url, path);
    await only.firstByte;
    only.leave();
    await only.done;
    await expect
      .poll(() => cache.blobs.size(), { timeout: 10_000 })
      .toEqual({
        entries: 1,
        bytes: WHEEL.length,
        filling: 0,
      });
  });

  it("are not slowed by one that reads nothing", async () => {
    const slow = download(cache.url, path);
    slow.pause();
    await slow.head;
    const fast = await Promise.all(
      Array.from({ length: 3 }, () => download(cache.url, path)).map((client) => client.done),
    );
    for (const end of fast) expect(end).toEqual({ sha256, bytes: WHEEL.length, complete: true });
    slow.resume();
    expect(await slow.done).toEqual({ sha256, bytes: WHEEL.length, complete: true });
  });
});

it("keeps memory flat while 256 MB go to several clients, cold and warm", async () => {
  const large = someBytes(256 * MIB);
  const largePath = await hashPath(large);
  upstream.file(largePath, large);
  const small = await hashPath(Buffer.from("small"));
  upstream.file(small, Buffer.from("small"));
  const directory = mkdtempSync(join(tmpdir(), "larder-files-"));
  const larder = await startFileCacheProcess(upstream.url, directory);
  await Promise.all(Array.from({ length: CLIENTS }, () => download(larder.url, small).done));
  const idleBytes = await larder.maxRssBytes();
  for (let i = 0; i < 2; i++) {
    const clients = Array.from({ length: 3 }, () => download(larder.url, largePath).done);
    for (const end of await Promise.all(clients))
      expect([end.bytes, end.complete]).toEqual([large.length, true]);
  }
  // A buffer for each reader, and what the collector has not fetched yet; not the file.
  expect((await larder.maxRssBytes()) - idleBytes).toBeLessThan(128 * MIB);
  await larder.kill();
  rmSync(directory, { recursive: true });
});
