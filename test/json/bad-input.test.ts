import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

let upstream: FakeUpstream;
let larder: TestLarder;

beforeAll(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10 });
  larder = await startLarder({ upstream });
});

afterAll(async () => {
  await larder.close();
  await upstream.close();
});

describe("what no project or release can be called", () => {
  it.each([
    "/pypi/-demo/json",
    "/pypi/demo-/json",
    "/pypi/%20/json",
    "/pypi/a%2Fb/json",
    "/pypi/%2e%2e/json",
    "/pypi/../../etc/passwd",
    "/pypi/%00/json",
    "/pypi/demo%00/json",
    "/pypi/demo/%00/json",
    "/pypi/demo/1%2F0/json",
    "/pypi/demo/%2e%2e/json",
    "/pypi/demo/1.0%0d%0aX:%20y/json",
    "/pypi/%zz/json",
    "/pypi/%/json",
    "/pypi/%ff%fe/json",
    "/pypi/d%C3%A9mo/json",
    "/pypi/demo/%F0%9F%8D%95/json",
    `/pypi/${"a".repeat(1_000)}/json`,
    `/pypi/${"a".repeat(10_000)}/json`,
    `/pypi/demo/${"1.".repeat(500)}0/json`,
    "/pypi/demo/json/json/json",
    "/pypi//json",
    "/pypi/json",
    "/pypi/__proto__/json",
    "/pypi/demo\\..\\x/json",
    "*",
  ])("%s is 404 or 400 with a clear body, and upstream is not asked", async (path) => {
    const { status, body, headers } = await larder.get(path);
    expect([400, 404]).toContain(status);
    expect(body.length).toBeGreaterThan(10);
    expect(body.length).toBeLessThan(300);
    expect(headers["content-type"]).toMatch(/^(text\/plain|application\/json)/);
    expect(upstream.requests).toHaveLength(0);
  });

  it("leaves nothing behind in the store", async () => {
    const metrics = (await larder.get("/metrics")).body.toString();
    expect(metrics).toMatch(/^larder_store_entries 0$/m);
    expect(metrics).toMatch(/^larder_memory_entries 0$/m);
  });
});

describe("what is no decent request", () => {
  it.each([
    ["rubbish", "\u0000\u0001\u0002 rubbish\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "a header of 20 kB",
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
      /^HTTP\/1\.1 431 /,
    ],
    ["no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["a Host that is none", "GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "an expectation",
      "GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 417 /,
    ],
    ["HTTP/1.0 without Host", "GET /healthz HTTP/1.0\r\n\r\n", /^HTTP\/1\.1 200 /],
    [
      "one field many times",
      `GET /pypi/%00/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${"Accept-Encoding: gzip\r\n".repeat(200)}\r\n`,
      /^HTTP\/1\.1 404 /,
    ],
    [
      "raw bytes that are not ASCII",
      "GET /pypi/d\u00e9mo/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
  ])("%s gets a status and a word, never a 500, and the server lives", async (_, sent, expected) => {
    const answer = await exchange(sent);
    expect(answer).toMatch(expected);
    expect(answer.split("\r\n\r\n")[1]!.length).toBeGreaterThan(2);
    expect((await larder.get("/healthz")).status).toBe(200);
  });

  it("is not answered twice when it has a body that nobody wanted", async () => {
    const post = "POST /pypi HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nGET / HTTP/";
    const next = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const answer = await exchange(post + next);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 405", "HTTP/1.1 200"]);
  });
});

describe("a fault that nobody thought of", () => {
  it("shows no trace to the client", async () => {
    const answers = await Promise.all(["/pypi/demo/json", "/nowhere"].map((path) => larder.get(path)));
    for (const { body } of answers) expect(body.toString()).not.toMatch(/\bat .*\.ts:\d+/);
  });
});

/** Sends bytes and gives back all that comes until the server closes. */
async function exchange(bytes: string): Promise<string> {
  const { hostname, port } = new URL(larder.url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined); // a server that closes early resets what is still being sent
  socket.write(Buffer.from(bytes, "latin1"));
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}
