import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { LeaseTable } from "../../src/fleet/lease-table.ts";
import { download } from "../files/download.ts";
import {
  type FileCache,
  type FileCacheOptions,
  hashPath,
  someBytes,
  startFileCache,
} from "../files/file-cache.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { S3_CREDENTIALS, type S3Server, startS3 } from "./server.ts";
import { findS3Server } from "./server-program.ts";

const program = findS3Server();
const MIB = 1024 * 1024;

let upstream: FakeUpstream;
let s3: S3Server;
let open: FileCache[];

beforeAll(() => {
  for (const [name, value] of Object.entries(S3_CREDENTIALS)) vi.stubEnv(name, value);
});

afterAll(() => void vi.unstubAllEnvs());

/** A node with a disk of its own, and the bucket behind it. */
async function node(options: Partial<FileCacheOptions> = {}): Promise<FileCache> {
  const cache = await startFileCache({
    upstreamUrl: upstream.url,
    clock: systemClock,
    s3: s3.url,
    ...options,
  });
  open.push(cache);
  return cache;
}

async function put(length: number, seed = 1) {
  const bytes = someBytes(length, seed);
  const path = await hashPath(bytes);
  upstream.file(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { path, key: `larder${path}`, bytes, whole: { sha256, bytes: length, complete: true } };
}

/** Until what was stored is in the bucket. */
async function uploaded(cache: FileCache): Promise<void> {
  await expect.poll(() => cache.bucket?.uploads.size(), { timeout: 20_000 }).toBe(0);
}

describe.skipIf(program === undefined)("a bucket", () => {
  beforeEach(async () => {
    upstream = await startUpstream();
    s3 = await startS3(program ?? "");
    open = [];
  });

  afterEach(async () => {
    s3.resume();
    await Promise.all(open.map((cache) => cache.close()));
    await upstream.close();
    await s3.stop();
  });

  describe("behind the disk", () => {
    it("is given what upstream gave, and gives it to a node that has nothing, with upstream gone", async () => {
      const a = await node();
      const { path, key, bytes, whole } = await put(3 * MIB);
      const first = await a.get(path);
      await uploaded(a);
      expect(await s3.keys()).toEqual([key]);
      expect((await s3.get(key)).equals(bytes)).toBe(true);
      await upstream.down();
      const b = await node();
      const second = await b.get(path);
      expect(second.body.equals(bytes)).toBe(true);
      for (const name of ["content-type", "last-modified", "date", "etag", "cache-control"] as const) {
        expect([name, second.headers[name]]).toEqual([name, first.headers[name]]);
      }
      expect(second.cacheStatus).toBe("larder; fwd=miss; fwd-status=200; stored; ttl=365000000");
      await s3.kill();
      // From its own disk now.
      expect(await download(b.url, path).done).toEqual(whole);
      expect([a.survived, b.survived]).toEqual([[], []]);
    });

    it("gets large files in parts, and gives them by Range too", async () => {
      const a = await node();
      const { path, key, bytes, whole } = await put(70 * MIB);
      expect(await download(a.url, path).done).toEqual(whole);
      await uploaded(a);
      // The ETag of an object in parts says how many there were.
      expect((await s3.head(key)).ETag).toMatch(/-5"$/);
      await upstream.down();
      const b = await node();
      const part = await b.get(path, { headers: { range: "bytes=-1000" } });
      expect([part.status, part.body.equals(bytes.subarray(-1000))]).toEqual([206, true]);
      expect(await download(b.url, path).done).toEqual(whole);
    });

    it("answers HEAD, and is not asked for what the disk has", async () => {
      const a = await node();
      const { path } = await put(MIB);
      await a.get(path);
      await uploaded(a);
      await upstream.down();
      const b = await node();
      const head = await b.get(path, { method: "HEAD" });
      expect([head.status, head.headers["content-length"]]).toEqual([200, String(MIB)]);
      expect(b.blobs.size().entries).toBe(0);
    });

    it("is uploaded to once: what came from it does not go back", async () => {
      const a = await node();
      const { path, key } = await put(MIB);
      await a.get(path);
      await uploaded(a);
      const b = await node();
      const add = vi.spyOn(b.bucket!.uploads, "add");
      await b.get(path);
      expect(add).not.toHaveBeenCalled();
      expect(upstream.count(path)).toBe(1);
      expect(await s3.keys()).toEqual([key]);
    });

    it("lets a node that shares leases and no folder wait for what another fetches", async () => {
      const leases = new LeaseTable(systemClock);
      const [a, b] = [await node({ leases: leases.leases("a") }), await node({ leases: leases.leases("b") })];
      const { path, whole } = await put(MIB);
      const gate = upstream.holdBody(path, 1000);
      const clients = [download(a.url, path), download(b.url, path)];
      await gate.reached;
      gate.release();
      for (const client of clients) expect(await client.done).toEqual(whole);
      expect(upstream.count(path)).toBe(1);
    });
  });

  describe("whose object is wrong", () => {
    it.each([
      ["other bytes", (bytes: Buffer) => Buffer.from(bytes).fill(0, 1000, 1100)],
      ["half of them", (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
      ["more of them", (bytes: Buffer) => Buffer.concat([bytes, bytes])],
      ["none", () => Buffer.alloc(0)],
    ])(
      "(%s) is asked for no more: the client gets upstream's, and so does the bucket",
      async (_what, spoil) => {
        const { path, key, bytes, whole } = await put(MIB);
        await s3.put(key, spoil(bytes));
        const cache = await node();
        const clients = [download(cache.url, path), download(cache.url, path)];
        for (const client of clients) expect(await client.done).toEqual(whole);
        expect([upstream.count(path), cache.broken]).toEqual([1, []]);
        await uploaded(cache);
        expect((await s3.get(key)).equals(bytes)).toBe(true);
      },
    );

    it("and large breaks the client's connection before its end, and is right the next time", async () => {
      const { path, key, bytes, whole } = await put(40 * MIB);
      await s3.put(key, Buffer.from(bytes).fill(0, 1000, 1100));
      const cache = await node();
      expect((await download(cache.url, path).done).complete).toBe(false);
      expect(await download(cache.url, path).done).toEqual(whole);
    });
  });

  describe("in trouble", () => {
    it("from the start costs a client some time once, and is used when it is there", async () => {
      await s3.kill();
      const cache = await node();
      const files = [await put(MIB, 1), await put(MIB, 2), await put(MIB, 3)];
      for (const { path, whole } of files) expect(await download(cache.url, path).done).toEqual(whole);
      expect(cache.survived).toContain("s3: get");
      await s3.start();
      // Uploads are tried again.
      await uploaded(cache);
      expect(await s3.keys()).toHaveLength(3);
    });

    it("that says nothing is left within seconds, and not asked by each", async () => {
      const cache = await node();
      s3.pause();
      const files = [await put(MIB, 1), await put(MIB, 2)];
      for (const { path, whole } of files) expect(await download(cache.url, path).done).toEqual(whole);
      expect(cache.survived.filter((what) => what === "s3: get")).toHaveLength(1);
      s3.resume();
      await uploaded(cache);
    });

    it("in the middle of an object is left for upstream, by Range", async () => {
      const a = await node();
      const { path, whole } = await put(64 * MIB);
      await download(a.url, path).done;
      await uploaded(a);
      const b = await node();
      const client = download(b.url, path);
      await client.firstByte;
      client.pause();
      s3.pause();
      client.resume();
      expect(await client.done).toEqual(whole);
      const [, rest] = upstream.requests;
      // It may have had all in its buffers before it stood still.
      if (rest !== undefined) expect(rest.headers.range).toMatch(/^bytes=\d+-$/);
    });

    it("that refuses us is as one that has nothing, and no key is told to the log", async () => {
      vi.stubEnv("AWS_SECRET_ACCESS_KEY", "another-secret");
      const cache = await node();
      const { path, whole } = await put(MIB);
      expect(await download(cache.url, path).done).toEqual(whole);
      expect(cache.survived).toContain("s3: get");
      for (const secret of Object.values(S3_CREDENTIALS)) expect(cache.told.join()).not.toContain(secret);
      vi.stubEnv("AWS_SECRET_ACCESS_KEY", S3_CREDENTIALS.AWS_SECRET_ACCESS_KEY);
    });

    it("and upstream gone too is a 503, and a file that is nowhere a 404", async () => {
      const cache = await node();
      const missing = await hashPath(Buffer.from("missing"));
      expect((await cache.get(missing)).status).toBe(404);
      await s3.kill();
      await upstream.down();
      const { path } = await put(MIB);
      expect((await cache.get(path)).status).toBe(503);
    });
  });

  describe("that clients are sent to", () => {
    it("is a redirect for a minute, which nobody may keep; what the disk has comes from there", async () => {
      const a = await node();
      const { path, bytes } = await put(MIB);
      await a.get(path);
      await uploaded(a);
      await upstream.down();
      const b = await node({ s3Redirect: true });
      const answer = await b.get(path);
      expect([answer.status, answer.headers["cache-control"]]).toEqual([302, "no-store"]);
      const location = new URL(String(answer.headers.location));
      expect([location.origin, location.searchParams.get("X-Amz-Expires")]).toEqual([s3.endpoint, "60"]);
      const followed = await fetch(b.url + path);
      expect(Buffer.from(await followed.arrayBuffer()).equals(bytes)).toBe(true);
      const part = await fetch(b.url + path, { headers: { range: "bytes=10-19" } });
      expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20))).toBe(true);
      expect((await b.get(path, { method: "HEAD" })).status).toBe(200);
      const sent = await startFileCache({
        upstreamUrl: upstream.url,
        clock: systemClock,
        s3: s3.url,
        s3Redirect: true,
        dataDirectory: a.dataDirectory,
      });
      expect((await sent.get(path)).cacheStatus).toContain("hit");
      await sent.stop();
    });

    it("is not for what it has not: that comes from upstream, through larder", async () => {
      const cache = await node({ s3Redirect: true });
      const { path, whole } = await put(MIB);
      expect(await download(cache.url, path).done).toEqual(whole);
      await s3.kill();
      const other = await put(MIB, 2);
      expect(await download(cache.url, other.path).done).toEqual(other.whole);
    });
  });
});
