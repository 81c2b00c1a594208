import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { isInstalled } from "../clients/catalogue.ts";
import { workplace } from "../clients/workplace.ts";
import { download } from "../files/download.ts";
import { hashPath, someBytes } from "../files/file-cache.ts";
import { fetchRaw } from "../support/client.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis } from "../support/redis.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { S3_CREDENTIALS, type S3Server, startS3 } from "./server.ts";
import { findS3Server } from "./server-program.ts";
import { startWire, type Wire } from "./wire.ts";

const s3Server = findS3Server();
const redisServer = inject("redisServer");
const MIB = 1024 * 1024;
const TIMEOUT = 90_000;

let upstream: FakeUpstream;
let directory: string;
let s3: S3Server;
let wires: Wire[];
let redis: RunningRedis | undefined;
let nodes: LarderProcess[];

beforeEach(async (context) => {
  if (s3Server === undefined) {
    context.skip();
    return;
  }
  upstream = await startUpstream();
  directory = mkdtempSync(join(tmpdir(), "larder-s3-nodes-"));
  wires = [];
  nodes = [];
  s3 = await startS3(s3Server);
});

afterEach(async () => {
  if (s3Server === undefined) return;
  for (const node of nodes) await node.end("SIGKILL");
  for (const wire of wires) await wire.close();
  await redis?.stop();
  redis = undefined;
  await s3.stop();
  await upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A node with a disk of its own. */
async function start(env: Readonly<Record<string, string>> = {}): Promise<LarderProcess> {
  const node = await startProcess({
    LARDER_UPSTREAM: upstream.url,
    LARDER_FILES_UPSTREAM: upstream.url,
    LARDER_DATA: join(directory, String(nodes.length)),
    LARDER_S3: s3.url,
    NO_PROXY: "*",
    ...S3_CREDENTIALS,
    ...env,
  });
  nodes.push(node);
  return node;
}

/** A wire to the S3 server, and LARDER_S3 for who goes by it. */
async function wire(): Promise<{ wire: Wire; env: { LARDER_S3: string } }> {
  const { port } = new URL(s3.endpoint);
  const made = await startWire(Number(port));
  wires.push(made);
  return { wire: made, env: { LARDER_S3: s3.url.replace(port, String(made.port)) } };
}

async function put(length: number, seed = 1) {
  const bytes = someBytes(length, seed);
  const path = await hashPath(bytes);
  upstream.file(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { path, key: `larder${path}`, bytes, whole: { sha256, bytes: length, complete: true } };
}

/** A file that the bucket has, by way of a node. */
async function putInBucket(length: number, seed = 1) {
  const file = await put(length, seed);
  const node = await start();
  expect(await download(node.url, file.path).done).toEqual(file.whole);
  await expect.poll(() => s3.keys()).toContain(file.key);
  return file;
}

describe("a bucket that nodes share", () => {
  it.each([
    ["small", 3 * MIB],
    ["uploaded in parts", 40 * MIB],
  ])(
    "serves, with upstream down, what another node has stored: %s",
    { timeout: TIMEOUT },
    async (_, size) => {
      const { path, key, whole } = await putInBucket(size);
      const first = await fetchRaw(nodes[0]!.url, path, { method: "HEAD" });
      await upstream.down();
      const other = await start();
      const client = download(other.url, path);
      expect(await client.done).toEqual(whole);
      const { headers } = await client.head;
      for (const name of ["content-type", "last-modified", "etag", "date", "cache-control"]) {
        expect(headers[name], name).toBe(first.headers[name]);
      }
      // Parts have an ETag of their own kind: so many of them.
      expect(/-\d+"$/.test((await s3.head(key)).ETag ?? "")).toBe(size > 16 * MIB);
      expect((await fetchRaw(other.url, path, { method: "HEAD" })).cacheStatus).toContain("hit");
      const output = nodes.map((node) => node.output()).join("");
      expect(output).not.toContain(S3_CREDENTIALS.AWS_SECRET_ACCESS_KEY);
    },
  );

  it.skipIf(redisServer === undefined)(
    "gives nodes over one Redis what one of them is just fetching: one request upstream",
    { timeout: TIMEOUT },
    async () => {
      redis = await startRedis(redisServer ?? "");
      const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}`, LARDER_REDIS_BUDGET: "2s" };
      const both = [await start(env), await start(env)];
      const { path, whole } = await put(3 * MIB);
      const gate = upstream.hold(path);
      const clients = [both[0]!, both[1]!, both[0]!, both[1]!].map(({ url }) => download(url, path));
      await upstream.arrived(1, path);
      gate.release();
      expect(await Promise.all(clients.map(({ done }) => done))).toEqual(clients.map(() => whole));
      expect(upstream.count(path)).toBe(1);
    },
  );
});

describe("a bucket in trouble is not the clients' trouble", () => {
  it.each([
    ["dies in the middle", 40 * MIB, 20 * MIB, true],
    ["goes silent in the middle", 40 * MIB, 20 * MIB, false],
    ["goes silent before anything is proved", 8 * MIB, 2 * MIB, false],
  ] as const)(
    "where it %s: upstream has the rest, by Range",
    { timeout: TIMEOUT },
    async (_, size, at, dies) => {
      const { path, whole } = await putInBucket(size);
      const way = await wire();
      const node = await start(way.env);
      way.wire.holdAfter(at);
      const client = download(node.url, path);
      await way.wire.held();
      if (dies) await way.wire.cut();
      expect(await client.done).toEqual(whole);
      const ranges = upstream.requests.map(({ headers }) => headers.range);
      expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d{6,}-$/)]);
    },
  );
});

describe("a client that is sent to the bucket", () => {
  it.skipIf(!isInstalled("pip"))("is pip, too: it gets the very bytes", { timeout: TIMEOUT }, async () => {
    const [built] = upstream.publish({ name: "demo", serial: 3, releases: [{ version: "1.0" }] });
    const file = built?.releases[0]?.files.find(({ filename }) => filename.endsWith(".whl"));
    const first = await start();
    await fetchRaw(first.url, file!.path);
    await expect.poll(() => s3.keys()).toContain(`larder${file!.path}`);
    const node = await start({ LARDER_S3_REDIRECT: "1" });
    const { run, path } = workplace();
    await run("pip", ["download", "--no-deps", "-i", `${node.url}/simple/`, "-d", path("d"), "demo==1.0"]);
    expect(readFileSync(path("d", file!.filename))).toEqual(file!.bytes);
    expect(upstream.count(file!.path)).toBe(1);
    expect(node.log().filter(({ status }) => status === 302)).toHaveLength(1);
  });
});
