import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { LeaseTable } from "../../src/fleet/lease-table.ts";
import { TestClock } from "../support/clock.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { download } from "./download.ts";
import { type FileCache, type FileCacheOptions, hashPath, someBytes, startFileCache } from "./file-cache.ts";

const MIB = 1024 * 1024;

let upstream: FakeUpstream;
let folder: string;
let leases: LeaseTable;
let open: FileCache[];

beforeEach(async () => {
  upstream = await startUpstream();
  folder = mkdtempSync(join(tmpdir(), "larder-folder-"));
  leases = new LeaseTable(systemClock);
  open = [];
});

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()));
  await upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A node with an index of its own, which shares the folder and the leases. */
async function node(name: string, options: Partial<FileCacheOptions> = {}): Promise<FileCache> {
  const defaults = { upstreamUrl: upstream.url, clock: systemClock, sharedDirectory: folder };
  const cache = await startFileCache({ ...defaults, leases: leases.leases(name), ...options });
  open.push(cache);
  await cache.blobs.swept;
  return cache;
}

async function nodes(...names: string[]): Promise<FileCache[]> {
  return await Promise.all(names.map((name) => node(name)));
}

async function put(length: number, seed = 1) {
  const bytes = someBytes(length, seed);
  const path = await hashPath(bytes);
  upstream.file(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { path, bytes, whole: { sha256, bytes: length, complete: true } };
}

/** What lies in the folder besides locks: of finished files and their facts, and of temporaries. */
function inFolder(): string[] {
  const all = readdirSync(folder, { recursive: true, withFileTypes: true });
  return all
    .filter((each) => each.isFile() && !/\.lock$|^folder-id$/.test(each.name))
    .map((each) => each.name);
}

describe("a file that is stored, but cannot be handed on", () => {
  it.each(["with others", "alone"])("is served, and that is told, %s", async (how) => {
    const cache = await node("a", how === "alone" ? { leases: undefined } : {});
    const bytes = someBytes(1_000, 7);
    const path = await hashPath(bytes);
    const blake2b256 = path.split("/").slice(2, 5).join("");
    const { fill } = cache.blobs.fill(
      { path, blake2b256 },
      {
        open: () =>
          Promise.resolve({ kind: "stream", startAt: 0, totalBytes: 1_000, ...FACTS, body: of(bytes) }),
        publish: () => Promise.reject(new Error("no row can be read")),
      },
    );
    expect(await fill.done).toBe("stored");
    await expect.poll(() => cache.survived).toEqual(["files: hand on"]);
  });
});

const FACTS = { contentType: "text/plain", lastModified: undefined, date: "Thu, 01 Jan 2026 00:00:00 GMT" };
const of = (bytes: Buffer): Readable => Readable.from([bytes], { objectMode: false });

describe("a file that several nodes want at once", () => {
  it("is asked for upstream once, and all others read along from the first byte on", async () => {
    const caches = await nodes("a", "b", "c", "d");
    const { path, whole } = await put(8 * MIB);
    const gate = upstream.holdBody(path, 4 * MIB);
    const clients = Array.from({ length: 40 }, (_, i) => download(caches[i % 4]!.url, path));
    await Promise.all(clients.map((client) => client.reached(4 * MIB)));
    gate.release();
    for (const client of clients) expect(await client.done).toEqual(whole);
    expect(upstream.count(path)).toBe(1);
    const outcomes = caches
      .flatMap((cache) => cache.events)
      .map((event) => "outcome" in event && event.outcome);
    expect(outcomes.sort()).toEqual(["followed", "followed", "followed", "stored"]);
    const statuses = await Promise.all(
      clients.map(async (client) => (await client.head).headers["cache-status"]),
    );
    expect(statuses.filter((status) => !String(status).includes("collapsed"))).toHaveLength(1);
    expect(inFolder()).toHaveLength(2);
  });

  it("is held by all of them afterwards", async () => {
    const [a, b] = await nodes("a", "b");
    const { path, whole } = await put(MIB);
    await download(a!.url, path).done;
    await upstream.down();
    const client = download(b!.url, path);
    expect((await client.head).headers["cache-status"]).toContain("hit");
    expect(await client.done).toEqual(whole);
    expect(b!.blobs.size()).toEqual({ entries: 1, bytes: MIB, filling: 0 });
  });

  it("and is empty, or of no length that is announced, is whole for all too", async () => {
    const [a, b] = await nodes("a", "b");
    const empty = await put(0);
    for (const cache of [a!, b!]) expect(await download(cache.url, empty.path).done).toEqual(empty.whole);
    const { path, whole } = await put(MIB, 2);
    upstream.fault({ kind: "chunked" });
    const ends = await Promise.all([a!, b!].map((cache) => download(cache.url, path).done));
    expect(ends).toEqual([whole, whole]);
    expect(upstream.count(path)).toBe(1);
  });

  it("and is not there, is a 404 for all", async () => {
    const caches = await nodes("a", "b", "c");
    const path = await hashPath(Buffer.from("missing"));
    const statuses = await Promise.all(caches.map(async (cache) => (await cache.get(path)).status));
    expect(statuses).toEqual([404, 404, 404]);
  });

  it("goes on at another when the leader stops: two requests, and no client notices", async () => {
    const [a, b, c] = await nodes("a", "b", "c");
    const { path, whole } = await put(8 * MIB);
    const gate = upstream.holdBody(path, 3 * MIB);
    const led = download(a!.url, path);
    await led.reached(3 * MIB);
    const followers = [b!, c!, b!, c!].map((cache) => download(cache.url, path));
    await Promise.all(followers.map((client) => client.reached(3 * MIB)));
    open = open.filter((cache) => cache !== a);
    await a!.close();
    gate.release();
    for (const client of followers) expect(await client.done).toEqual(whole);
    expect(upstream.requests.map((each) => each.headers.range)).toEqual([undefined, `bytes=${3 * MIB}-`]);
  });

  it("is not waited for by a node that shares leases and no folder", async () => {
    // A clock that stands still: nobody's patience comes to an end.
    const clock = new TestClock(Date.now());
    const table = new LeaseTable(clock);
    const own = (name: string) =>
      node(name, { clock, leases: table.leases(name), sharedDirectory: join(folder, name) });
    const caches = [await own("a"), await own("b")];
    const { path, whole } = await put(4 * MIB);
    const gate = upstream.holdBody(path, MIB);
    const clients = caches.map((cache) => download(cache.url, path));
    await Promise.all(clients.map((client) => client.reached(MIB - 1)));
    gate.release();
    for (const client of clients) expect(await client.done).toEqual(whole);
    expect(upstream.count(path)).toBe(2);
  });

  it("breaks for the followers too where the bytes are wrong, and is stored nowhere", async () => {
    const caches = await nodes("a", "b");
    const { path, bytes, whole } = await put(2 * MIB);
    upstream.file(path, Buffer.from(bytes).fill(0, MIB, MIB + 10));
    const clients = caches.map((cache) => download(cache.url, path));
    for (const client of clients) expect((await client.done).complete).toBe(false);
    expect(inFolder()).toEqual([]);
    upstream.file(path, bytes);
    for (const cache of caches) expect(await download(cache.url, path).done).toEqual(whole);
  });
});

describe("a leader that stands still", () => {
  it("without an answer is not waited for longer than some seconds", async () => {
    const stuck = leases.leases("elsewhere");
    const { path, whole } = await put(MIB);
    const b = await node("b");
    const id = readFileSync(join(folder, "folder-id"), "utf8");
    const lease = await stuck.acquire(`file ${id} ${path}`, 60_000);
    expect(lease.kind).toBe("held");
    expect(await download(b.url, path).done).toEqual(whole);
    expect(upstream.count(path)).toBe(1);
  });

  it("in the middle is left, and the rest is asked for by Range", async () => {
    const [a, b] = await nodes("a", "b");
    const { path, whole } = await put(4 * MIB);
    const gate = upstream.holdBody(path, 2 * MIB);
    const led = download(a!.url, path);
    await led.reached(2 * MIB);
    const follower = download(b!.url, path);
    await follower.reached(2 * MIB);
    // All that the first connection has is 2 MiB; the second is another's.
    await expect.poll(() => upstream.count(path), { timeout: 10_000 }).toBe(2);
    expect(upstream.requests[1]?.headers.range).toBe(`bytes=${2 * MIB}-`);
    gate.release();
    expect(await follower.done).toEqual(whole);
    expect(await led.done).toEqual(whole);
  });
});

describe("a shared folder's room", () => {
  it("is not made by removing what another node has used since", async () => {
    const clock = new TestClock(Date.now());
    const own = { clock, maxBytes: 10 * MIB };
    const [a, b] = [await node("a", own), await node("b", own)];
    const files = [];
    for (let i = 0; i < 10; i++) {
      files.push(await put(MIB, i + 1));
      await a.get(files[i]!.path);
      clock.advance(1_000);
    }
    // The other takes it in, and uses it hours later; nobody but the folder tells the first one.
    await b.get(files[0]!.path);
    clock.advance(5 * 3_600_000);
    await b.get(files[0]!.path);
    await b.blobs.flushUses();
    await a.get((await put(MIB, 11)).path);
    expect(a.blobs.size().entries).toBe(9);
    const before = upstream.count();
    expect((await b.get(files[0]!.path)).cacheStatus).toContain("hit");
    expect((await a.get(files[0]!.path)).cacheStatus).toContain("hit");
    expect(upstream.count()).toBe(before);
    // What the first has evicted is a miss for the other too.
    expect((await b.get(files[1]!.path)).cacheStatus).toContain("miss");
  });

  it("counts what others have stored, as of the last look round", async () => {
    const [a, b] = await nodes("a", "b");
    for (let i = 0; i < 4; i++) await a!.get((await put(MIB, i + 1)).path);
    expect(b!.blobs.size().entries).toBe(0);
    await b!.blobs.lookRound();
    expect(b!.blobs.size()).toEqual({ entries: 4, bytes: 4 * MIB, filling: 0 });
    for (const name of readdirSync(folder)) {
      if (name !== "tmp") rmSync(join(folder, name), { recursive: true });
    }
    await b!.blobs.lookRound();
    expect(b!.blobs.size().entries).toBe(0);
  });

  it("is not swept of what it does not know of", async () => {
    const [a] = await nodes("a");
    const { path } = await put(MIB);
    await a!.get(path);
    const [file] = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) =>
      each.name.endsWith(".json"),
    );
    const long = new Date(Date.now() - 10 * 3_600_000);
    rmSync(join(file!.parentPath, file!.name));
    utimesSync(join(file!.parentPath, file!.name.slice(0, -".json".length)), long, long);
    await node("b");
    await a!.blobs.lookRound();
    expect((await a!.get(path)).cacheStatus).toContain("hit");
    expect(inFolder()).toHaveLength(2);
  });
});
