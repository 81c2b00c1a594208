import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestClock } from "../support/clock.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { type FileCache, type FileCacheOptions, hashPath, someBytes, startFileCache } from "./file-cache.ts";

const BYTES = someBytes(300_000);
const ETAG = /^"[0-9a-f]{64}"$/;

let upstream: FakeUpstream;
let cache: FileCache;
let path: string;
let clock: TestClock;

async function start(options: Partial<FileCacheOptions> = {}): Promise<FileCache> {
  cache = await startFileCache({ upstreamUrl: upstream.url, clock, ...options });
  return cache;
}

async function restart(options: Partial<FileCacheOptions> = {}): Promise<FileCache> {
  await cache.stop();
  return start({ dataDirectory: cache.dataDirectory, ...options });
}

beforeEach(async () => {
  clock = new TestClock(Date.now());
  upstream = await startUpstream({ now: () => clock.now() });
  path = await hashPath(BYTES);
  upstream.file(path, BYTES);
  await start();
});

afterEach(async () => {
  await cache.close();
  await upstream.close();
});

describe("rubbish in the middle of a file's answer", () => {
  it("breaks it, and is not answered within it", async () => {
    const large = someBytes(40 * 2 ** 20);
    const largePath = await hashPath(large);
    upstream.file(largePath, large);
    await cache.get(largePath);
    const { hostname, port } = new URL(cache.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET ${largePath} HTTP/1.1\r\nHost: larder.corp\r\n\r\n`);
    await once(socket, "readable");
    socket.write("rubbish\r\n\r\n");
    const got = await buffer(socket);
    const bodyAt = got.indexOf("\r\n\r\n") + 4;
    expect(got.length).toBeLessThan(large.length);
    expect(got.subarray(bodyAt).equals(large.subarray(0, got.length - bodyAt))).toBe(true);
  });
});

describe("a file", () => {
  it("is fetched once and then served from disk, byte for byte", async () => {
    const cold = await cache.get(path);
    const warm = await cache.get(path);
    expect([cold.status, cold.body.equals(BYTES)]).toEqual([200, true]);
    expect([warm.status, warm.body.equals(BYTES)]).toEqual([200, true]);
    expect(cold.cacheStatus).toBe("larder; fwd=miss; fwd-status=200; stored; ttl=365000000");
    expect(warm.cacheStatus).toBe("larder; hit; ttl=365000000");
    expect(upstream.count(path)).toBe(1);
  });

  it("has the same header fields cold and warm, upstream's Date and type among them", async () => {
    upstream.file(path, BYTES, { contentType: "binary/octet-stream" });
    const cold = await cache.get(path);
    clock.advance(3_600_000);
    const warm = await cache.get(path);
    const fields = Object.fromEntries(
      Object.entries(cold.headers).filter(([name]) => !["cache-status", "age"].includes(name)),
    );
    expect(warm.headers).toMatchObject(fields);
    expect(Number(warm.headers.age) - Number(cold.headers.age)).toBe(3600);
    expect(fields).toMatchObject({
      "content-type": "binary/octet-stream",
      "content-length": String(BYTES.length),
      "accept-ranges": "bytes",
      "last-modified": "Thu, 17 Aug 2023 17:29:12 GMT",
      "cache-control": "max-age=365000000, immutable, public",
      etag: expect.stringMatching(ETAG) as string,
      "access-control-allow-origin": "*",
      "access-control-expose-headers": "Content-Length, Content-Range, Accept-Ranges",
    });
  });

  it("goes out as it is, whatever coding is asked for", async () => {
    for (const coding of ["gzip, deflate", "zstd", "*", "identity;q=0, gzip"]) {
      const { headers, body } = await cache.get(path, { headers: { "accept-encoding": coding } });
      expect([headers["content-encoding"], body.equals(BYTES)]).toEqual([undefined, true]);
    }
    expect(upstream.requests[0]?.headers["accept-encoding"]).toBe("identity");
  });

  it("is not asked for again because of no-cache", async () => {
    await cache.get(path);
    for (const header of ["no-cache", "max-age=0"]) {
      expect((await cache.get(path, { headers: { "cache-control": header } })).cacheStatus).toMatch(/hit/);
    }
    expect(upstream.count()).toBe(1);
  });

  it("is one file, however its name is quoted", async () => {
    const odd = await hashPath(BYTES, "demo,1.0+x.tar.gz");
    upstream.file(odd, BYTES);
    expect((await cache.get(odd)).body.equals(BYTES)).toBe(true);
    const quoted = odd.replace(",", "%2C").replace("+", "%2B");
    expect((await cache.get(quoted)).cacheStatus).toMatch(/hit/);
  });

  it("of no bytes is served as that", async () => {
    const empty = await hashPath(Buffer.alloc(0));
    upstream.file(empty, Buffer.alloc(0));
    for (const word of ["fwd=miss", "hit"]) {
      const answer = await cache.get(empty);
      expect([answer.status, answer.headers["content-length"], answer.body.length]).toEqual([200, "0", 0]);
      expect(answer.cacheStatus).toContain(word);
    }
  });

  it("whose length upstream does not tell has one here", async () => {
    upstream.fault({ kind: "chunked" });
    const { headers, body } = await cache.get(path);
    expect([headers["content-length"], body.equals(BYTES)]).toEqual([String(BYTES.length), true]);
  });
});

describe("HEAD", () => {
  it("of a file that is held costs upstream nothing, and tells what GET tells but CORS", async () => {
    const { headers } = await cache.get(path);
    const head = await cache.get(path, { method: "HEAD" });
    expect([head.status, head.body.length]).toEqual([200, 0]);
    for (const name of [
      "content-length",
      "etag",
      "accept-ranges",
      "last-modified",
      "date",
      "cache-control",
    ]) {
      expect(head.headers[name]).toBe(headers[name]);
    }
    expect(head.headers["access-control-allow-origin"]).toBeUndefined();
    expect(upstream.count()).toBe(1);
  });

  it("of a file that is being fetched costs upstream nothing", async () => {
    const gate = upstream.holdBody(path, 1000);
    const fetching = cache.get(path);
    await gate.reached;
    const head = await cache.get(path, { method: "HEAD" });
    expect(head.headers["content-length"]).toBe(String(BYTES.length));
    expect(upstream.count()).toBe(1);
    gate.release();
    await fetching;
  });

  it("of any other asks upstream by HEAD, and fetches nothing", async () => {
    const head = await cache.get(path, { method: "HEAD" });
    expect([head.status, head.headers["content-length"]]).toEqual([200, String(BYTES.length)]);
    expect(upstream.requests.map((each) => each.method)).toEqual(["HEAD"]);
  });

  it("of a file that does not exist is 404", async () => {
    const missing = await hashPath(Buffer.from("missing"));
    expect((await cache.get(missing, { method: "HEAD" })).status).toBe(404);
  });
});

describe("OPTIONS", () => {
  it("is answered for browsers, without upstream", async () => {
    const { status, headers } = await cache.get(path, { method: "OPTIONS" });
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      "access-control-allow-methods": "GET, HEAD, OPTIONS",
      "access-control-allow-headers": "Range, Accept-Encoding",
      "access-control-max-age": "86400",
    });
    expect(upstream.count()).toBe(0);
  });
});

describe("a condition", () => {
  it("that names the file's ETag is met with a 304, cold without asking upstream", async () => {
    const { headers } = await cache.get(path);
    const etag = String(headers.etag);
    for (const named of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const answer = await cache.get(path, { headers: { "if-none-match": named } });
      expect([answer.status, answer.headers.etag, answer.body.length]).toEqual([304, etag, 0]);
      expect(answer.headers["cache-control"]).toContain("immutable");
    }
    upstream.removeFile(path);
    const elsewhere = await startFileCache({ upstreamUrl: upstream.url });
    expect((await elsewhere.get(path, { headers: { "if-none-match": etag } })).status).toBe(304);
    await elsewhere.close();
    expect(upstream.count()).toBe(1);
  });

  it("of time is met with a 304, and ignored beside If-None-Match", async () => {
    for (const word of ["fwd=miss", "hit"]) {
      const since = { "if-modified-since": "Thu, 17 Aug 2023 17:29:12 GMT" };
      const answer = await cache.get(path, { headers: since });
      expect([answer.status, answer.headers["last-modified"]]).toEqual([304, since["if-modified-since"]]);
      expect(answer.cacheStatus).toContain(word);
      expect((await cache.get(path, { headers: { ...since, "if-none-match": '"other"' } })).status).toBe(200);
    }
    const before = { "if-modified-since": "Wed, 16 Aug 2023 17:29:12 GMT" };
    expect((await cache.get(path, { headers: before })).status).toBe(200);
  });
});

describe("what is not there", () => {
  it("is a short 404, and not asked about again for a minute", async () => {
    const missing = await hashPath(Buffer.from("missing"));
    for (let i = 0; i < 3; i++) {
      const { status, headers, body } = await cache.get(missing);
      expect([status, headers["content-type"]]).toEqual([404, "text/plain; charset=UTF-8"]);
      expect(body.length).toBeLessThan(50);
    }
    expect(upstream.count()).toBe(1);
    clock.advance(60_000);
    upstream.file(missing, Buffer.from("missing"));
    expect((await cache.get(missing)).body.toString()).toBe("missing");
  });

  it.each([
    ["the archive's 403 in XML", 403, "application/xml", 404],
    ["410", 410, "text/html", 404],
    ["a block page, 403 in plain text", 403, "text/plain", 503],
    ["a challenge, 403 in HTML", 403, "text/html", 503],
  ])("%s: %i %s is answered with %i", async (_what, status, contentType, answered) => {
    upstream.fault({ kind: "status", status });
    upstream.fault({ kind: "headers", headers: { "content-type": contentType } });
    for (const method of ["GET", "HEAD"]) expect((await cache.get(path, { method })).status).toBe(answered);
  });

  it.each([
    "/packages/",
    "/packages/ab/cd/ef/demo.whl",
    `/packages/AB/cd/${"e".repeat(60)}/demo.whl`,
    `/packages/ab/cd/${"e".repeat(59)}/demo.whl`,
    `/packages/ab/cd/${"e".repeat(60)}/a%2fb.whl`,
    `/packages/ab/cd/${"e".repeat(60)}/a%00b.whl`,
    `/packages/ab/cd/${"e".repeat(60)}/`,
    `/packages/ab/cd/${"e".repeat(60)}/x/y.whl`,
  ])("%s is no path of PyPI: 404 without asking upstream", async (bad) => {
    expect((await cache.get(bad)).status).toBe(404);
    expect(upstream.count()).toBe(0);
  });

  it("leaves what lies beside a file, and legacy paths, to others", async () => {
    expect((await cache.get(`${path}.metadata`)).body.toString()).toBe("beside demo-1.0-py3-none-any.whl");
    expect((await cache.get("/packages/source/d/demo/demo-1.0.tar.gz")).body.toString()).toBe("legacy demo");
    expect(upstream.count()).toBe(0);
  });
});

describe("upstream's trouble", () => {
  it.each([
    { kind: "status", status: 500 },
    { kind: "status", status: 503, retryAfter: "7" },
    { kind: "status", status: 429, retryAfter: "7" },
    { kind: "status", status: 504 },
    { kind: "reset-before-head" },
    { kind: "not-http" },
  ] as const)("of kind %o, with nothing held, is a 503 that says when to come again", async (fault) => {
    upstream.fault(fault);
    const { status, headers, body } = await cache.get(path);
    expect(status).toBe(503);
    expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    expect(headers["cache-control"]).toBe("no-store");
    expect(body.toString()).toContain("503");
    if ("retryAfter" in fault) expect(headers["retry-after"]).toBe("7");
  });

  it("with nothing held heals by itself", async () => {
    const heal = upstream.fault({ kind: "status", status: 500 });
    expect((await cache.get(path)).status).toBe(503);
    heal();
    expect((await cache.get(path)).body.equals(BYTES)).toBe(true);
  });

  it("does not touch a file that is held, also after a restart", async () => {
    await cache.get(path);
    await upstream.down();
    expect((await cache.get(path)).body.equals(BYTES)).toBe(true);
    await restart();
    clock.advance(10 * 365 * 86_400_000);
    const { status, body } = await cache.get(path);
    expect([status, body.equals(BYTES)]).toEqual([200, true]);
  });

  it("offline: what is held is served for ever, the rest is a 503", async () => {
    await cache.get(path);
    await restart({ offline: true });
    expect((await cache.get(path)).body.equals(BYTES)).toBe(true);
    const other = await hashPath(Buffer.from("other"));
    upstream.file(other, Buffer.from("other"));
    for (const method of ["GET", "HEAD"]) expect((await cache.get(other, { method })).status).toBe(503);
    expect(upstream.count()).toBe(1);
  });
});

describe("a Range", () => {
  const N = BYTES.length;
  const TAG = (): string => `"${path.split("/").slice(2, 5).join("")}"`;
  const DATE = "Thu, 17 Aug 2023 17:29:12 GMT";
  type Case = readonly [string, Record<string, string>, number, string | undefined, Buffer | undefined];
  const cases = (): readonly Case[] => [
    ["one byte", { range: "bytes=0-0" }, 206, `bytes 0-0/${N}`, BYTES.subarray(0, 1)],
    ["single", { range: "bytes=100-199" }, 206, `bytes 100-199/${N}`, BYTES.subarray(100, 200)],
    ["open", { range: `bytes=${N - 5}-` }, 206, `bytes ${N - 5}-${N - 1}/${N}`, BYTES.subarray(N - 5)],
    ["all of it", { range: "bytes=0-" }, 206, `bytes 0-${N - 1}/${N}`, BYTES],
    ["past the end", { range: `bytes=10-${N * 2}` }, 206, `bytes 10-${N - 1}/${N}`, BYTES.subarray(10)],
    ["suffix", { range: "bytes=-10000" }, 206, `bytes ${N - 10000}-${N - 1}/${N}`, BYTES.subarray(-10000)],
    ["longer suffix", { range: `bytes=-${N + 1}` }, 206, `bytes 0-${N - 1}/${N}`, BYTES],
    ["unsatisfiable", { range: `bytes=${N}-` }, 416, `bytes */${N}`, undefined],
    ["empty suffix", { range: "bytes=-0" }, 416, `bytes */${N}`, undefined],
    ["malformed", { range: "bytes=5-2" }, 200, undefined, BYTES],
    ["another unit", { range: "lines=1-2" }, 200, undefined, BYTES],
    ["too many", { range: `bytes=${"0-0,2-2,".repeat(5)}` }, 200, undefined, BYTES],
    ["overlapping", { range: "bytes=0-9,5-19" }, 206, `bytes 0-19/${N}`, BYTES.subarray(0, 20)],
    ["If-Range, tag", { range: "bytes=1-2", "if-range": TAG() }, 206, `bytes 1-2/${N}`, BYTES.subarray(1, 3)],
    ["If-Range, date", { range: "bytes=1-2", "if-range": DATE }, 206, `bytes 1-2/${N}`, BYTES.subarray(1, 3)],
    ["If-Range, weak", { range: "bytes=1-2", "if-range": `W/${TAG()}` }, 200, undefined, BYTES],
    ["If-Range, other", { range: "bytes=1-2", "if-range": '"other"' }, 200, undefined, BYTES],
  ];

  it("is answered alike cold and warm, whatever it asks for", async () => {
    for (const [what, headers, status, contentRange, body] of cases()) {
      const fresh = await startFileCache({ upstreamUrl: upstream.url, clock });
      const cold = await fresh.get(path, { headers });
      await fresh.get(path);
      const warm = await fresh.get(path, { headers });
      for (const answer of [cold, warm]) {
        expect([what, answer.status, answer.headers["content-range"]]).toEqual([what, status, contentRange]);
        expect(Number(answer.headers["content-length"])).toBe(answer.body.length);
        if (body !== undefined) expect(answer.body.equals(body), what).toBe(true);
        if (status !== 416) expect(answer.headers.etag).toBe(TAG());
      }
      expect(warm.cacheStatus).toMatch(/hit/);
      await fresh.close();
    }
    // One fill for each of them, whatever part was asked for.
    expect(upstream.requests.map((each) => each.headers.range)).toEqual(cases().map(() => undefined));
  });

  it("of several parts is a multipart/byteranges, cold and warm", async () => {
    for (const word of ["fwd=miss", "hit"]) {
      const answer = await cache.get(path, { headers: { range: "bytes=500-599,0-9,-20" } });
      expect(answer.status).toBe(206);
      expect(answer.cacheStatus).toContain(word);
      const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(
        String(answer.headers["content-type"]),
      )?.[1];
      const part = (from: number, to: number): Buffer =>
        Buffer.concat([
          Buffer.from(
            `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\n` +
              `Content-Range: bytes ${from}-${to}/${N}\r\n\r\n`,
          ),
          BYTES.subarray(from, to + 1),
        ]);
      const end = Buffer.from(`\r\n--${boundary}--\r\n`);
      const whole = Buffer.concat([part(500, 599), part(0, 9), part(N - 20, N - 1), end]);
      expect(answer.body.equals(whole)).toBe(true);
      expect(answer.headers["content-length"]).toBe(String(whole.length));
      await cache.get(path);
    }
  });

  it("of a cold file is answered as soon as its bytes are there", async () => {
    const gate = upstream.holdBody(path, 100_000);
    const { status, body } = await cache.get(path, { headers: { range: "bytes=50000-59999" } });
    expect([status, body.equals(BYTES.subarray(50_000, 60_000))]).toEqual([206, true]);
    const rest = cache.get(path, { headers: { range: "bytes=-5" } });
    gate.release();
    expect((await rest).body.equals(BYTES.subarray(-5))).toBe(true);
    expect(upstream.count()).toBe(1);
  });

  it("is not looked at by HEAD", async () => {
    const head = await cache.get(path, { method: "HEAD", headers: { range: "bytes=0-4" } });
    expect([head.status, head.headers["content-length"]]).toEqual([200, String(N)]);
  });
});

it("asked for twice within one turn of the loop is one fill", async () => {
  const key = { path, blake2b256: path.split("/").slice(2, 5).join("") };
  const open = (): Promise<{ kind: "absent"; status: 404 }> =>
    Promise.resolve({ kind: "absent", status: 404 });
  const [first, second] = [0, 1].map(() => cache.blobs.fill(key, { open }));
  expect([first?.collapsed, second?.collapsed]).toEqual([false, true]);
  expect(second?.fill).toBe(first?.fill);
  await first?.fill.done;
  expect(cache.blobs.filling(key)).toBeUndefined();
});

it("asked for by several at once is fetched once, and says of all but one that they were collapsed", async () => {
  const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const answers = await Promise.all(Array.from({ length: 8 }, () => cache.get(path)));
  expect(new Set(answers.map(({ body }) => sha256(body)))).toEqual(new Set([sha256(BYTES)]));
  expect(answers.filter(({ cacheStatus }) => cacheStatus.includes("collapsed"))).toHaveLength(7);
  expect(upstream.count()).toBe(1);
});
