import { connect } from "node:net";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import type { BuiltFile, BuiltPackage } from "../support/packages/build.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

let upstream: FakeUpstream;
let larder: TestLarder;
let wheel: BuiltFile;

beforeEach(async () => {
  upstream = await startUpstream();
  const [demo] = upstream.publish({ name: "demo", releases: [{ version: "1.0" }] }) as [BuiltPackage];
  wheel = demo.releases[0]!.files[0]!;
  larder = await startLarder({
    upstream,
    env: { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url, LARDER_TRUST_PROXY: "127.0.0.1" },
  });
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

const METHODS = ["GET", "HEAD", "OPTIONS"];
const HEADERS: Readonly<Record<string, readonly (string | undefined)[]>> = {
  host: ["larder.corp", "other.corp:81"],
  accept: [undefined, "*/*", "application/vnd.pypi.simple.v1+json", "text/html"],
  "accept-encoding": [undefined, "gzip", "zstd, gzip", "identity"],
  "cache-control": [undefined, "no-cache", "max-age=0"],
  "if-none-match": [undefined, "*", '"x"'],
  range: [undefined, "bytes=0-3", "bytes=0-", "bytes=-5", "bytes=0-1,4-5", "bytes=999999-"],
  "if-range": [undefined, '"x"'],
  "x-forwarded-proto": [undefined, "https"],
  "x-forwarded-prefix": [undefined, "/pypi"],
};

describe("a request that was read before", () => {
  it("gets what it got when it was read, whatever else was asked for in between", async () => {
    const paths = [
      "/pypi/demo/json",
      "/pypi/Demo/json",
      "//pypi/demo/json",
      "/pypi/demo/1.0/json",
      "/demo/json",
      "/pypi/gone/json",
      "/simple/demo/",
      "/simple//demo/",
      "/simple/demo/?format=application/vnd.pypi.simple.v1+json",
      "/simple/gone/",
      wheel.path,
      `${wheel.path}?x`,
      `${wheel.path}.metadata`,
    ];
    const aRequest = fc.record({
      path: fc.constantFrom(...paths),
      method: fc.constantFrom(...METHODS),
      headers: fc
        .record(
          Object.fromEntries(
            Object.entries(HEADERS).map(([name, values]) => [name, fc.constantFrom(...values)]),
          ),
        )
        .map((headers) =>
          Object.fromEntries(
            Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
          ),
        ),
    });
    const ask = async ({
      path,
      method,
      headers,
    }: {
      path: string;
      method: string;
      headers: Record<string, string>;
    }) => {
      const { status, headers: fields, body, cacheStatus } = await larder.get(path, { method, headers });
      // What larder says itself is of now.
      if (cacheStatus.includes("local")) delete fields.date;
      return { status, fields, body: body.toString("latin1") };
    };
    // So that what is not yet held is nowhere the difference.
    for (const path of paths)
      for (const accept of ["text/html", "application/vnd.pypi.simple.v1+json"])
        await larder.get(path, { headers: { accept } });
    await fc.assert(
      fc.asyncProperty(fc.array(aRequest, { minLength: 2, maxLength: 12 }), async (requests) => {
        const unread = requests.map((request, i) => ({ ...request, path: neverAsked(request.path, i) }));
        for (const [i, request] of requests.entries()) {
          const slow = await ask(unread[i]!);
          for (let times = 0; times < 3; times++) expect(await ask(request)).toEqual(slow);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("has its age, its lifetime and a newer release told anew", async () => {
    const get = async () => await larder.get("/pypi/demo/json");
    for (let times = 0; times < 3; times++) await get();
    larder.clock.advance(100_000);
    const later = await get();
    expect([later.headers.age, later.headers["cache-control"], later.cacheStatus]).toEqual([
      "100",
      "max-age=600, public",
      "larder; hit; ttl=500",
    ]);
    upstream.publish({ name: "demo", serial: 99, releases: [{ version: "2.0" }] });
    larder.clock.advance(3_600_000);
    await expect.poll(async () => (await get()).body.toString()).toContain('"2.0"');
    const [line] = larder.log.filter(({ msg }) => msg === "request").slice(-1);
    expect(line).toMatchObject({ method: "GET", path: "/pypi/demo/json", status: 200 });
  });

  it("has the fields of its own range, also where two ranges are the same bytes", async () => {
    await larder.get(wheel.path);
    const all = `bytes 0-${wheel.bytes.length - 1}/${wheel.bytes.length}`;
    for (let times = 0; times < 3; times++) {
      const whole = await larder.get(wheel.path);
      expect([whole.status, whole.headers["content-range"]]).toEqual([200, undefined]);
      const part = await larder.get(wheel.path, { headers: { range: "bytes=0-" } });
      expect([part.status, part.headers["content-range"]]).toEqual([206, all]);
      const head = await larder.get(wheel.path, { method: "HEAD" });
      expect([head.status, head.body.length, head.headers["access-control-allow-origin"]]).toEqual([
        200,
        0,
        undefined,
      ]);
      expect([whole.body.equals(wheel.bytes), part.body.equals(wheel.bytes)]).toEqual([true, true]);
    }
  });

  it("is still refused with a second Host", async () => {
    for (let times = 0; times < 3; times++)
      await larder.get("/pypi/demo/json", { headers: { host: "a.corp" } });
    const socket = connect(Number(new URL(larder.url).port), "127.0.0.1");
    socket.end("GET /pypi/demo/json HTTP/1.1\r\nHost: a.corp\r\nHost: b.corp\r\nConnection: close\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 /);
  });
});

let asked = 0;

/** The same target in a spelling that is new: a query that nothing reads. */
function neverAsked(path: string, salt: number): string {
  return `${path}${path.includes("?") ? "&" : "?"}unread=${++asked}-${salt}`;
}
