import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestClock } from "../support/clock.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { download } from "./download.ts";
import { type FileCache, hashPath, someBytes, startFileCache } from "./file-cache.ts";

const BYTES = someBytes(1_000_000);
const WHOLE = {
  sha256: createHash("sha256").update(BYTES).digest("hex"),
  bytes: BYTES.length,
  complete: true,
};

// From where is not for a test to say: what is on its way when a connection breaks may be lost.
const REST: unknown = expect.stringMatching(/^bytes=[1-9]\d*-$/);

let upstream: FakeUpstream;
let cache: FileCache;
let clock: TestClock;
let path: string;

beforeEach(async () => {
  clock = new TestClock(Date.now());
  upstream = await startUpstream();
  path = await hashPath(BYTES);
  upstream.file(path, BYTES);
  cache = await startFileCache({ upstreamUrl: upstream.url, clock, timeouts: { betweenBytesMs: 5_000 } });
});

afterEach(async () => {
  await cache.close();
  await upstream.close();
});

/** Everything on disk but locks and the folder's own name. */
function filesOnDisk(): string[] {
  const all = readdirSync(join(cache.dataDirectory, "files"), { recursive: true, withFileTypes: true });
  return all
    .filter((each) => each.isFile() && !/\.lock$|^folder-id$/.test(each.name))
    .map((each) => each.name);
}

/** Moves time on through every wait between two tries. */
async function waitOut(): Promise<void> {
  for (const ms of [250, 1_000, 2_000, 4_000]) {
    await clock.untilTimer(ms);
    clock.advance(ms);
  }
}

describe("a connection to upstream that breaks", () => {
  it("because it ends early is continued by Range on another, unnoticed by the client", async () => {
    upstream.fault({ kind: "truncated" }, { times: 1 });
    expect(await download(cache.url, path).done).toEqual(WHOLE);
    expect(upstream.requests.map((each) => each.headers.range)).toEqual([undefined, REST]);
    const [first, second] = upstream.requests;
    expect(second?.connection).not.toBe(first?.connection);
    expect(cache.survived).toEqual(["files: download broken"]);
    expect(cache.events).toMatchObject([{ kind: "resumed" }, { kind: "fill", outcome: "stored" }]);
    expect((await cache.get(path)).cacheStatus).toMatch(/hit/);
  });

  it("by a reset is continued too, however much of it had come", async () => {
    upstream.fault({ kind: "reset-in-body", afterBytes: 300_000 }, { times: 1 });
    expect(await download(cache.url, path).done).toEqual(WHOLE);
    expect(upstream.count()).toBe(2);
  });

  it("by standing still is continued too", async () => {
    upstream.fault({ kind: "hang-in-body", afterBytes: 300_000 }, { times: 1 });
    const client = download(cache.url, path);
    await client.reached(300_000);
    await clock.untilTimer(5_000);
    clock.advance(5_000);
    expect(await client.done).toEqual(WHOLE);
    expect(upstream.requests[1]?.headers.range).toBe("bytes=300000-");
  });

  it("again and again is continued as long as bytes come: no number of breaks is too many", async () => {
    const large = someBytes(32 * 1024 * 1024);
    const largePath = await hashPath(large);
    upstream.file(largePath, large);
    // Each answer ends at the half of what it should have: the last has 128 KiB.
    upstream.fault({ kind: "truncated" }, { times: 8 });
    const { sha256, complete } = await download(cache.url, largePath).done;
    expect([sha256, complete]).toEqual([createHash("sha256").update(large).digest("hex"), true]);
    expect(upstream.count()).toBe(9);
  });

  it("and then wants to be left alone for long is given up, for nobody shall wait for that", async () => {
    upstream.fault({ kind: "truncated" }, { times: 1 });
    const client = download(cache.url, path);
    await upstream.arrived(1);
    const stop = upstream.fault({ kind: "status", status: 429, retryAfter: "3600" });
    expect((await client.done).complete).toBe(false);
    expect(upstream.count()).toBe(2);
    stop();
    clock.advance(300_000);
    expect(await download(cache.url, path).done).toEqual(WHOLE);
  });

  it("and goes on with another length breaks the client's, and stores nothing", async () => {
    const gate = upstream.holdBody(path, 400_000);
    const client = download(cache.url, path);
    await client.reached(400_000);
    upstream.file(path, Buffer.concat([BYTES, BYTES]));
    await upstream.down();
    await clock.untilTimer(250);
    gate.release();
    await upstream.up();
    await waitOut();
    expect((await client.done).complete).toBe(false);
    expect(cache.blobs.size().entries).toBe(0);
  });

  it("is continued where upstream ignores Range: what is there already is skipped", async () => {
    upstream.file(path, BYTES, { ignoresRange: true });
    upstream.fault({ kind: "truncated" }, { times: 1 });
    expect(await download(cache.url, path).done).toEqual(WHOLE);
    expect(upstream.requests[1]?.headers.range).toEqual(REST);
  });

  it("and does not come back breaks the client's, leaves nothing, and lets the next begin anew", async () => {
    const gate = upstream.holdBody(path, 400_000);
    const clients = [download(cache.url, path), download(cache.url, path)];
    await Promise.all(clients.map((client) => client.reached(400_000)));
    await upstream.down();
    await waitOut();
    for (const client of clients) {
      expect(await client.done).toMatchObject({ bytes: 400_000, complete: false });
    }
    expect(cache.broken).toEqual([path, path]);
    expect([filesOnDisk(), cache.blobs.size().entries]).toEqual([[], 0]);
    gate.release();
    await upstream.up();
    expect(await download(cache.url, path).done).toEqual(WHOLE);
  });
});

describe("wrong bytes", () => {
  it("of the right length are never stored, and no client takes them for whole", async () => {
    const wrong = Buffer.from(BYTES);
    wrong.writeUInt8((wrong.readUInt8(500_000) + 1) % 256, 500_000);
    upstream.file(path, wrong);
    const clients = [download(cache.url, path), download(cache.url, path)];
    for (const client of clients) {
      const { bytes, complete } = await client.done;
      expect([bytes < BYTES.length, complete]).toEqual([true, false]);
    }
    // A client that was reading hears of it before what came is removed.
    await expect.poll(() => [filesOnDisk(), cache.blobs.size().entries]).toEqual([[], 0]);
    expect(cache.broken).toEqual([path, path]);
    upstream.file(path, BYTES);
    expect(await download(cache.url, path).done).toEqual(WHOLE);
  });

  it("break a connection that is kept alive too: nothing that follows could be told from the rest", async () => {
    upstream.file(path, Buffer.alloc(BYTES.length));
    await expect(cache.get(path)).rejects.toThrow();
  });

  it.each([
    ["too short", BYTES.subarray(0, -1)],
    ["too long", Buffer.concat([BYTES, BYTES.subarray(0, 1)])],
    ["one byte only", BYTES.subarray(0, 1)],
  ])("that are %s are not stored", async (_what, wrong) => {
    upstream.file(path, wrong);
    expect((await download(cache.url, path).done).complete).toBe(false);
    expect(cache.blobs.size().entries).toBe(0);
  });

  it("of no length that was announced are a 503: no client has seen anything yet", async () => {
    upstream.file(path, BYTES.subarray(1));
    upstream.fault({ kind: "chunked" });
    const { status, body } = await cache.get(path);
    expect([status, body.toString()]).toEqual([503, expect.stringContaining("wrong-bytes")]);
    upstream.clearFaults();
    upstream.file(path, Buffer.alloc(0));
    expect((await cache.get(path)).status).toBe(503);
  });

  it("with a coding that nobody asked for are a 503", async () => {
    upstream.fault({ kind: "headers", headers: { "content-encoding": "gzip" } });
    expect((await cache.get(path)).status).toBe(503);
  });
});
