import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchRaw } from "../support/client.ts";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const DEMO = "/pypi/demo/json";
const FILES = "https://files.pythonhosted.org";
const PROBE_MS = 10_000;

interface FakeMirror {
  readonly url: string;
  status: number;
  readonly server: Server;
}

interface Document {
  readonly info: { readonly description: string };
  readonly urls: readonly { readonly url: string }[];
  readonly releases: Readonly<Record<string, readonly { readonly url: string }[]>>;
}

let upstream: FakeUpstream;
let larder: TestLarder;
let mirrors: FakeMirror[];

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10, description: `get it from ${FILES}/packages/aa/bb/cc/demo.whl` });
  mirrors = await Promise.all([startMirror(), startMirror()]);
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
  for (const { server } of mirrors) server.close();
});

describe("LARDER_FILES", () => {
  it("upstream leaves the bytes untouched", async () => {
    larder = await startLarder({ upstream, env: { LARDER_FILES: "upstream" } });
    const gzip = await larder.get(DEMO, { headers: { "accept-encoding": "gzip" } });
    expect(gzip.body.equals(await direct({ "accept-encoding": "gzip" }))).toBe(true);
  });

  it("a mirror rewrites the url of every file, keeping its path, and nothing else", async () => {
    await startWithMirrors();
    const document = await getDocument();
    const urls = urlsOf(document);
    expect(urls.length).toBeGreaterThan(2);
    for (const url of urls)
      expect(url).toMatch(new RegExp(`^${mirrors[0]!.url}/packages/[0-9a-f]{2}/[0-9a-f]{2}/`));
    expect(document.info.description).toBe(`get it from ${FILES}/packages/aa/bb/cc/demo.whl`);
    const served = await larder.get(DEMO);
    const restored = served.body.toString().replaceAll(`"url":"${mirrors[0]!.url}/`, `"url":"${FILES}/`);
    const untouched = await larder.get(DEMO, { headers: { "accept-encoding": "gzip" } });
    expect(untouched.decoded.equals(served.body)).toBe(true);
    expect(JSON.parse(restored)).toEqual(JSON.parse((await direct()).toString()));
  });

  it("takes the first healthy mirror, and upstream when none is; each has validators of its own", async () => {
    await startWithMirrors();
    const bases: string[] = [];
    const etags = new Set<unknown>();
    const look = async (): Promise<void> => {
      bases.push(new URL(urlsOf(await getDocument())[0]!).origin);
      etags.add((await larder.get(DEMO)).headers.etag);
    };
    await look();
    await setStatus(0, 503);
    await look();
    await setStatus(1, 500);
    await look();
    await setStatus(1, 404); // any answer below 500 is a healthy mirror's
    await look();
    await setStatus(0, 200);
    await look();
    const [first, second] = mirrors.map(({ url }) => new URL(url).origin);
    expect(bases).toEqual([first, second, FILES, second, first]);
    expect(etags.size).toBe(3);
    expect(upstream.requests).toHaveLength(1);
  });

  it("takes a mirror that refuses connections for not healthy", async () => {
    const [dead] = mirrors;
    dead!.server.close();
    dead!.server.closeAllConnections();
    await once(dead!.server, "close");
    await startWithMirrors();
    await larder.logged((line) => line.msg === "mirror is not healthy");
    expect(urlsOf(await getDocument())[0]).toContain(mirrors[1]!.url);
    expect(JSON.parse((await larder.get("/readyz")).body.toString())).toMatchObject({
      ready: true,
      mirrors: [{ healthy: false }, { healthy: true }],
    });
  });
});

async function startWithMirrors(): Promise<void> {
  const bases = mirrors.map(({ url }) => `${url}/`).join(", ");
  larder = await startLarder({ upstream, env: { LARDER_FILES: bases, LARDER_FILES_UPSTREAM: FILES } });
}

async function startMirror(): Promise<FakeMirror> {
  const server = createServer((_, response) => response.writeHead(mirror.status).end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const mirror = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/pypi`,
    status: 200,
    server,
  };
  return mirror;
}

/** Changes what a mirror answers, and waits until larder has found out. */
async function setStatus(index: number, status: number): Promise<void> {
  const mirror = mirrors[index]!;
  const health = status < 500 ? "mirror is healthy" : "mirror is not healthy";
  const fits = (line: Record<string, unknown>): boolean => line.msg === health && line.base === mirror.url;
  const before = larder.log.filter(fits).length;
  mirror.status = status;
  await larder.clock.untilPending(mirrors.length);
  larder.clock.advance(PROBE_MS);
  await expect.poll(() => larder.log.filter(fits).length).toBe(before + 1);
}

async function getDocument(): Promise<Document> {
  return JSON.parse((await larder.get(DEMO)).body.toString()) as Document;
}

function urlsOf({ urls, releases }: Document): string[] {
  return [...urls, ...Object.values(releases).flat()].map(({ url }) => url);
}

/** What a client gets from upstream itself. */
async function direct(headers: Record<string, string> = {}): Promise<Buffer> {
  return (await fetchRaw(upstream.url, DEMO, { headers })).body;
}
