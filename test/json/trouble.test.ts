import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import type { Fault } from "../support/upstream/faults.ts";

const DEMO = "/pypi/demo/json";
const HOUR_MS = 3_600_000;

let upstream: FakeUpstream;
let larder: TestLarder;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10, description: "x".repeat(10_000) });
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

const PATIENCE_MS = 1_000;

/** Lets so much time pass, as soon as something under way waits for just that. */
async function passTime(ms: number): Promise<void> {
  await larder.clock.untilTimer(ms);
  larder.clock.advance(ms);
}

/** What goes wrong, the word for it, and how much time has to pass until larder has seen it. */
interface Trouble {
  readonly title: string;
  readonly fault: Fault;
  readonly cause: string;
  readonly afterMs?: number;
}

const TROUBLE: readonly Trouble[] = [
  { title: "a 500", fault: { kind: "status", status: 500 }, cause: "status" },
  { title: "a 502", fault: { kind: "status", status: 502 }, cause: "status" },
  { title: "a 503", fault: { kind: "status", status: 503 }, cause: "status" },
  { title: "a 504", fault: { kind: "status", status: 504 }, cause: "status" },
  { title: "a 429", fault: { kind: "status", status: 429, retryAfter: "7" }, cause: "rate-limited" },
  { title: "a 403 that blocks this address", fault: { kind: "blocked" }, cause: "status" },
  { title: "HTML with status 200", fault: { kind: "html" }, cause: "not-json" },
  { title: "a body that is not JSON", fault: { kind: "not-json" }, cause: "not-json" },
  { title: "a gzip with a wrong checksum", fault: { kind: "bad-gzip", how: "crc" }, cause: "bad-coding" },
  { title: "a gzip that ends early", fault: { kind: "bad-gzip", how: "truncated" }, cause: "bad-coding" },
  { title: "a body cut short", fault: { kind: "truncated" }, cause: "truncated" },
  { title: "a chunked body cut short", fault: { kind: "truncated", chunked: true }, cause: "truncated" },
  { title: "a length that is too short", fault: { kind: "short-length" }, cause: "bad-coding" },
  { title: "a reset before the answer", fault: { kind: "reset-before-head" }, cause: "reset" },
  { title: "a reset within the answer", fault: { kind: "reset-in-body" }, cause: "reset" },
  { title: "something that is no HTTP", fault: { kind: "not-http" }, cause: "reset" },
  { title: "silence", fault: { kind: "never-answer" }, cause: "first-byte-timeout", afterMs: 8_000 },
  {
    title: "silence within the answer",
    fault: { kind: "hang-in-body" },
    cause: "between-bytes-timeout",
    afterMs: 10_000,
  },
  { title: "redirects in a circle", fault: { kind: "redirect", location: DEMO }, cause: "redirects" },
];

describe("with nothing held", () => {
  it.each(TROUBLE)(
    "%s is a 503 that names the cause, never a 404, and nothing is stored",
    async ({ fault, cause, afterMs }) => {
      larder = await startLarder({ upstream });
      const clear = upstream.fault(fault);
      const waiting = larder.get(DEMO);
      if (afterMs !== undefined) await passTime(afterMs);
      const { status, headers, body, cacheStatus } = await waiting;
      expect(status).toBe(503);
      expect(headers["retry-after"]).toMatch(/^[1-9]\d*$/);
      expect(headers["cache-control"]).toBe("no-store");
      expect(JSON.parse(body.toString())).toMatchObject({ cause });
      expect(cacheStatus).toMatch(new RegExp(`^larder; fwd=miss(; fwd-status=\\d+)?; detail=${cause}$`));
      clear();
      larder.clock.advance(60_000);
      const mended = await larder.get(DEMO);
      expect([mended.status, mended.cacheStatus]).toEqual([
        200,
        "larder; fwd=miss; fwd-status=200; stored; ttl=600",
      ]);
    },
  );

  it("an upstream that is down is a 503", async () => {
    larder = await startLarder({ upstream });
    await upstream.down();
    const { status, body } = await larder.get(DEMO);
    expect([status, JSON.parse(body.toString())]).toMatchObject([503, { cause: "connect" }]);
  });

  it("upstream's own wish to be left alone is passed on, in whole seconds, and obeyed for every project", async () => {
    larder = await startLarder({ upstream });
    upstream.fault({ kind: "status", status: 429, retryAfter: "7" }, { times: 1 });
    expect((await larder.get(DEMO)).headers["retry-after"]).toBe("7");
    const asked = upstream.requests.length;
    expect((await larder.get("/pypi/other/json")).status).toBe(503);
    expect(upstream.requests.length).toBe(asked);
    larder.clock.advance(7_000);
    expect((await larder.get("/pypi/other/json")).status).toBe(404);
  });
});

describe("with a stale copy held", () => {
  it.each(TROUBLE)(
    "%s does not show but in Cache-Status, and the held copy stays",
    async ({ fault, cause, afterMs }) => {
      larder = await startLarder({ upstream });
      const held = await larder.get(DEMO);
      upstream.project("demo", { serial: 11, description: "y".repeat(10_000) });
      larder.clock.advance(HOUR_MS);
      upstream.fault(fault);
      const waiting = larder.get(DEMO);
      // Whatever it takes to be sure, a client waits no longer than its patience.
      if (afterMs !== undefined) await passTime(PATIENCE_MS);
      const stale = await waiting;
      expect(stale.status).toBe(200);
      expect(stale.body.equals(held.body)).toBe(true);
      const detail = afterMs === undefined ? cause : "patience";
      expect(stale.cacheStatus).toMatch(
        new RegExp(`^larder; fwd=stale(; fwd-status=\\d+)?; ttl=-\\d+; detail=${detail}$`),
      );
      expect(Number(stale.headers.age)).toBeGreaterThanOrEqual(3_600);
      expect(stale.headers.date).toBe(held.headers.date);
      expect(stale.headers["cache-control"]).toBe("max-age=0, public");
      if (afterMs !== undefined) {
        await passTime(afterMs);
        await larder.logged((line) => line.msg === "upstream gave no answer" && line.failure === cause);
      }
      upstream.clearFaults();
      larder.clock.advance(60_000);
      const mended = await larder.get(DEMO);
      expect(mended.headers["x-pypi-last-serial"]).toBe("11");
      expect(mended.cacheStatus).toContain("fwd-status=200; stored");
    },
  );

  it("is not asked for again at once after it was asked for in vain", async () => {
    larder = await startLarder({ upstream });
    await larder.get(DEMO);
    larder.clock.advance(HOUR_MS);
    upstream.fault({ kind: "status", status: 500 });
    await larder.get(DEMO);
    const asked = upstream.requests.length;
    for (let i = 0; i < 10; i++)
      expect((await larder.get(DEMO)).cacheStatus).toContain("detail=asked-in-vain");
    expect(upstream.requests.length).toBe(asked);
  });

  it("is confirmed behind by one request, however many hits there are, and a failure of that harms nobody", async () => {
    larder = await startLarder({ upstream });
    await larder.get(DEMO);
    larder.clock.advance(700_000);
    upstream.fault({ kind: "status", status: 500 });
    const gate = upstream.hold();
    const hits = await Promise.all(Array.from({ length: 20 }, () => larder.get(DEMO)));
    expect(hits.every(({ cacheStatus }) => cacheStatus === "larder; hit; ttl=-100")).toBe(true);
    await upstream.arrived(2);
    gate.release();
    await larder.logged((line) => line.msg === "upstream gave no answer");
    expect((await larder.get(DEMO)).status).toBe(200);
    expect(upstream.requests).toHaveLength(2);
  });

  it("of a project that PyPI has since said to be gone does not come back with an outage", async () => {
    larder = await startLarder({ upstream });
    await larder.get("/pypi/demo/1.0/json");
    await larder.get(DEMO);
    upstream.remove("demo");
    larder.clock.advance(HOUR_MS);
    expect((await larder.get("/simple/demo/")).status).toBe(404);
    await upstream.down();
    expect((await larder.get("/pypi/demo/1.0/json")).status).toBe(503);
  });

  it("of a page stands in although the project has no document: that alone says nothing of the page", async () => {
    upstream.publish({ name: "bare", serial: 4, releases: [{ version: "1.0" }] });
    larder = await startLarder({ upstream });
    const { body } = await larder.get("/simple/bare/");
    larder.clock.advance(HOUR_MS);
    const clear = upstream.fault({ kind: "status", status: 404 }, { path: "/pypi/bare/json" });
    expect((await larder.get("/pypi/bare/json")).status).toBe(404);
    clear();
    await upstream.down();
    const stale = await larder.get("/simple/bare/");
    expect([stale.status, stale.body.equals(body)]).toEqual([200, true]);
    expect(stale.cacheStatus).toMatch(/fwd=stale; .*detail=connect/);
  });

  it("is asked for again although the clock was set back meanwhile", async () => {
    larder = await startLarder({ upstream });
    await larder.get(DEMO);
    larder.clock.advance(HOUR_MS);
    upstream.fault({ kind: "status", status: 500 }, { times: 1 });
    await larder.get(DEMO);
    larder.clock.advance(-HOUR_MS / 2);
    const asked = upstream.requests.length;
    await larder.get(DEMO);
    expect(upstream.requests.length).toBe(asked + 1);
  });

  it("that the disk gives back with other bytes is a miss, not an answer", async () => {
    larder = await startLarder({ upstream });
    const held = await larder.get(DEMO);
    await larder.stop();
    const { clock, dataDirectory } = larder;
    const database = new DatabaseSync(join(dataDirectory, "larder.sqlite"));
    const spoiled = database.prepare("UPDATE piece SET bytes = randomblob(length(bytes))").run();
    database.close();
    expect(spoiled.changes).toBeGreaterThan(0);
    larder = await startLarder({ upstream, clock, dataDirectory });
    const answer = await larder.get(DEMO, { headers: { "accept-encoding": "gzip" } });
    expect([answer.status, answer.decoded.equals(held.body)]).toEqual([200, true]);
    expect(answer.cacheStatus).toContain("fwd=miss; fwd-status=200; stored");
  });

  it("is not served beyond LARDER_STALE_IF_ERROR, where that is limited", async () => {
    larder = await startLarder({ upstream, env: { LARDER_STALE_IF_ERROR: "1h" } });
    await larder.get(DEMO);
    upstream.fault({ kind: "status", status: 500 });
    larder.clock.advance(HOUR_MS + 599_000);
    expect((await larder.get(DEMO)).status).toBe(200);
    larder.clock.advance(60_000);
    expect((await larder.get(DEMO)).status).toBe(503);
  });
});

describe("a passing fault", () => {
  it.each([
    ["a 502", { kind: "status", status: 502 }],
    ["a 503", { kind: "status", status: 503 }],
    ["a reset", { kind: "reset-before-head" }],
  ] as const)("%s is retried once, on a connection of its own", async (_, fault) => {
    larder = await startLarder({ upstream });
    upstream.fault(fault, { times: 1 });
    expect((await larder.get(DEMO)).status).toBe(200);
    const [first, second] = upstream.requests;
    expect(second!.connection).not.toBe(first!.connection);
    expect(upstream.requests).toHaveLength(2);
  });
});

describe("a wish to be left alone", () => {
  it("is passed on to clients up to five minutes of it", async () => {
    larder = await startLarder({ upstream });
    upstream.fault({ kind: "status", status: 429, retryAfter: "86400" });
    const { status, headers } = await larder.get(DEMO);
    expect([status, headers["retry-after"]]).toEqual([503, "300"]);
  });
});

describe("a failure that comes late", () => {
  it("leaves the retry what is left of the time for a first byte", async () => {
    larder = await startLarder({ upstream });
    upstream.fault({ kind: "reset-before-head" }, { times: 1 });
    upstream.fault({ kind: "never-answer" });
    const gate = upstream.hold();
    const answer = larder.get(DEMO);
    await upstream.arrived(1);
    larder.clock.advance(7_000);
    gate.release();
    await upstream.arrived(2);
    larder.clock.advance(1_500);
    const { status, body } = await answer;
    expect([status, JSON.parse(body.toString())]).toMatchObject([503, { cause: "first-byte-timeout" }]);
  });
});

describe("a page of links that nothing shows to be the index's", () => {
  const BLOCKED = Buffer.from(
    '<html><body>Blocked: install <a href="/agent.msi">the agent</a></body></html>',
  );

  it("does not replace one that had a serial", async () => {
    upstream.publish({ name: "shown", serial: 5, releases: [{ version: "1.0" }] });
    larder = await startLarder({ upstream });
    const { body } = await larder.get("/simple/shown/");
    larder.clock.advance(HOUR_MS);
    await upstream.down();
    const blocking = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end(BLOCKED);
    });
    await once(blocking.listen(Number(new URL(upstream.url).port), "127.0.0.1"), "listening");
    try {
      const kept = await larder.get("/simple/shown/");
      expect(kept.cacheStatus).toMatch(/fwd=stale; .*detail=not-html/);
      expect(kept.body.equals(body)).toBe(true);
      // Where there was none before, it may be all that an index of another kind has.
      expect((await larder.get("/simple/other/")).body.equals(BLOCKED)).toBe(true);
    } finally {
      blocking.closeAllConnections();
      blocking.close();
      await once(blocking, "close");
    }
  });
});

describe("a body that its ETag does not prove", () => {
  it("is taken on its length, coding and shape, with a word in the log", async () => {
    larder = await startLarder({ upstream });
    upstream.fault({ kind: "wrong-etag" });
    expect((await larder.get(DEMO)).cacheStatus).toContain("stored");
    await larder.logged((line) => line.path === DEMO && "etag" in line);
  });
});

describe("offline", () => {
  it("serves everything held, however old, and asks nobody", async () => {
    larder = await startLarder({ upstream });
    const held = await larder.get(DEMO);
    await larder.stop();
    const { clock, dataDirectory } = larder;
    const asked = upstream.requests.length;
    larder = await startLarder({ upstream, clock, dataDirectory, env: { LARDER_OFFLINE: "1" } });
    clock.advance(400 * 24 * HOUR_MS);
    const stale = await larder.get(DEMO);
    expect(stale.status).toBe(200);
    expect(stale.body.equals(held.body)).toBe(true);
    expect(stale.cacheStatus).toContain("detail=offline");
    const absent = await larder.get("/pypi/other/json");
    expect([absent.status, JSON.parse(absent.body.toString())]).toMatchObject([503, { cause: "offline" }]);
    expect(upstream.requests.length).toBe(asked);
    expect((await larder.get("/readyz")).status).toBe(200);
  });

  it("is no different when upstream is dead from boot", async () => {
    larder = await startLarder({ upstream });
    await larder.get(DEMO);
    await larder.stop();
    await upstream.down();
    const { clock, dataDirectory } = larder;
    larder = await startLarder({ upstream, clock, dataDirectory });
    clock.advance(48 * HOUR_MS);
    expect((await larder.get(DEMO)).cacheStatus).toContain("detail=connect");
    expect((await larder.get("/readyz")).status).toBe(200);
  });
});
