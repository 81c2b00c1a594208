import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const DEMO = "/pypi/demo/json";
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

let upstream: FakeUpstream;
let larder: TestLarder;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10, releases: ["1.0", "2.0"] });
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

async function start(env: Record<string, string> = {}): Promise<void> {
  larder = await startLarder({ upstream, env });
}

describe("a fresh document", () => {
  it("costs upstream nothing, and says how old it is and how long it will do", async () => {
    await start();
    const cold = await larder.get(DEMO);
    expect(cold.cacheStatus).toBe("larder; fwd=miss; fwd-status=200; stored; ttl=600");
    expect(cold.headers).toMatchObject({ age: "0", "cache-control": "max-age=600, public" });
    larder.clock.advance(90_500);
    const warm = await larder.get(DEMO);
    expect(warm.cacheStatus).toBe("larder; hit; ttl=509");
    expect(warm.headers).toMatchObject({
      age: "90",
      "cache-control": "max-age=599, public",
      date: cold.headers.date,
    });
    expect(upstream.requests).toHaveLength(1);
  });

  it("is not asked for again because a pip says max-age=0, and not at once because a uv says no-cache", async () => {
    await start();
    await larder.get(DEMO);
    larder.clock.advance(MINUTE_MS);
    await larder.get(DEMO, { headers: { "cache-control": "max-age=0" } });
    expect(upstream.requests).toHaveLength(1);
    const refreshed = await larder.get(DEMO, { headers: { "cache-control": "no-cache" } });
    expect(refreshed.cacheStatus).toBe("larder; fwd=request; fwd-status=304; stored; ttl=600");
    larder.clock.advance(4_000);
    for (let i = 0; i < 10; i++) await larder.get(DEMO, { headers: { "cache-control": "no-cache" } });
    expect(upstream.requests).toHaveLength(2);
  });

  it("takes another lifetime after a restart, for what is stored already", async () => {
    await start();
    await larder.get(DEMO);
    await larder.stop();
    const { clock, dataDirectory } = larder;
    larder = await startLarder({ upstream, clock, dataDirectory, env: { LARDER_FRESH: "1s" } });
    clock.advance(2_000);
    expect((await larder.get(DEMO)).cacheStatus).toMatch(/hit; ttl=-1$/);
  });
});

describe("a stale document", () => {
  it("goes out at once within stale-while-revalidate, and one request asks upstream behind", async () => {
    await start();
    await larder.get(DEMO);
    larder.clock.advance(11 * MINUTE_MS);
    const gate = upstream.hold();
    const stale = await Promise.all(Array.from({ length: 20 }, () => larder.get(DEMO)));
    expect(stale.every(({ cacheStatus }) => cacheStatus === "larder; hit; ttl=-60")).toBe(true);
    expect(stale[0]!.headers).toMatchObject({ age: "660", "cache-control": "max-age=0, public" });
    await upstream.arrived(2);
    gate.release();
    await expect.poll(async () => (await larder.get(DEMO)).cacheStatus).toBe("larder; hit; ttl=600");
    expect(upstream.requests).toHaveLength(2);
    expect(upstream.requests[1]!.headers["if-none-match"]).toMatch(/^"/);
  });

  it("waits for upstream beyond that, and is confirmed by a 304 that carries no serial", async () => {
    await start();
    const first = await larder.get(DEMO);
    larder.clock.advance(16 * MINUTE_MS);
    const validated = await larder.get(DEMO);
    expect(validated.cacheStatus).toBe("larder; fwd=stale; fwd-status=304; stored; ttl=600");
    expect(validated.headers["x-pypi-last-serial"]).toBe("10");
    expect(validated.headers.etag).toBe(first.headers.etag);
    expect(validated.body.equals(first.body)).toBe(true);
  });

  it("goes out, said to be stale, when upstream takes longer than patience; and upstream is asked on", async () => {
    await start();
    await larder.get(DEMO);
    larder.clock.advance(60 * MINUTE_MS);
    const gate = upstream.hold();
    upstream.project("demo", { serial: 11 });
    const waiting = larder.get(DEMO);
    await upstream.arrived(2);
    larder.clock.advance(1_000);
    const stale = await waiting;
    expect(stale.cacheStatus).toBe("larder; fwd=stale; ttl=-3001; detail=patience");
    expect(stale.headers["x-pypi-last-serial"]).toBe("10");
    // Whoever comes while it is still being asked does not wait out patience once more.
    expect((await larder.get(DEMO)).cacheStatus).toContain("detail=patience");
    expect(upstream.requests).toHaveLength(2);
    gate.release();
    await expect.poll(async () => (await larder.get(DEMO)).headers["x-pypi-last-serial"]).toBe("11");
  });

  it("takes a changed body of the same serial", async () => {
    await start();
    const before = await larder.get(DEMO);
    upstream.project("demo", { serial: 10, description: "a vulnerability was found" });
    larder.clock.advance(60 * MINUTE_MS);
    const after = await larder.get(DEMO);
    expect(after.cacheStatus).toContain("fwd-status=200");
    expect(after.headers.etag).not.toBe(before.headers.etag);
    expect(after.body.toString()).toContain("a vulnerability was found");
  });
});

describe("a newer serial", () => {
  it("learnt from one document ends the freshness of every other of the project", async () => {
    await start();
    await larder.get("/pypi/demo/1.0/json");
    await larder.get(DEMO);
    upstream.project("demo", { serial: 11, releases: ["1.0", "2.0", "3.0"] });
    await larder.get("/pypi/demo/3.0/json");
    const release = await larder.get("/pypi/demo/1.0/json");
    expect(release.cacheStatus).toMatch(/fwd=stale; fwd-status=200; stored/);
    expect(release.headers["x-pypi-last-serial"]).toBe("11");
    expect((await larder.get(DEMO)).headers["x-pypi-last-serial"]).toBe("11");
  });

  it("ends a 404 at once", async () => {
    await start();
    await larder.get(DEMO);
    expect((await larder.get("/pypi/demo/3.0/json")).status).toBe(404);
    upstream.project("demo", { serial: 11, releases: ["3.0"] });
    expect((await larder.get("/pypi/demo/3.0/json")).status).toBe(404);
    larder.clock.advance(6_000);
    await larder.get(DEMO, { headers: { "cache-control": "no-cache" } });
    expect((await larder.get("/pypi/demo/3.0/json")).status).toBe(200);
  });
});

describe("a lower serial", () => {
  it("does not replace what is held, does not hammer upstream, and is believed after a day", async () => {
    await start();
    await larder.get(DEMO);
    upstream.project("demo", { serial: 9, releases: ["1.0"] });
    larder.clock.advance(60 * MINUTE_MS);
    const kept = await larder.get(DEMO);
    expect(kept.cacheStatus).toMatch(/fwd=stale; fwd-status=200; ttl=-\d+; detail=lower-serial/);
    expect(kept.headers["x-pypi-last-serial"]).toBe("10");
    for (let i = 0; i < 10; i++) await larder.get(DEMO);
    expect(upstream.requests).toHaveLength(2);
    await larder.logged(
      (line) => line.msg === "upstream answered with a lower serial" && line.outcome === "kept",
    );
    larder.clock.advance(DAY_MS);
    const lowered = await larder.get(DEMO);
    expect(lowered.headers["x-pypi-last-serial"]).toBe("9");
    expect(lowered.cacheStatus).toMatch(/fwd=stale; fwd-status=200; stored; ttl=600$/);
  });

  it("is remembered over a restart, so that it cannot wedge larder for ever", async () => {
    await start();
    await larder.get(DEMO);
    upstream.project("demo", { serial: 9 });
    larder.clock.advance(60 * MINUTE_MS);
    await larder.get(DEMO);
    await larder.stop();
    const { clock, dataDirectory } = larder;
    larder = await startLarder({ upstream, clock, dataDirectory });
    clock.advance(DAY_MS);
    expect((await larder.get(DEMO)).headers["x-pypi-last-serial"]).toBe("9");
  });
});

describe("an upstream without serials", () => {
  it("works: stored, confirmed, changed, without the serial field", async () => {
    await start();
    upstream.project("demo", { serial: 10, body: Buffer.from('{"info":{},"urls":[]}') });
    upstream.fault({ kind: "headers", headers: { "x-pypi-last-serial": undefined } });
    const cold = await larder.get(DEMO);
    expect(cold.headers["x-pypi-last-serial"]).toBeUndefined();
    expect((await larder.get(DEMO)).cacheStatus).toContain("hit");
    upstream.project("demo", { serial: 10, body: Buffer.from('{"info":{"x":1},"urls":[]}') });
    larder.clock.advance(60 * MINUTE_MS);
    expect((await larder.get(DEMO)).body.toString()).toBe('{"info":{"x":1},"urls":[]}');
  });
});

describe("an upstream that is itself a cache", () => {
  it("is not asked with each request when its answers are old on arrival", async () => {
    await start();
    upstream.fault({ kind: "headers", headers: { age: "3000" } });
    const { headers, cacheStatus } = await larder.get(DEMO);
    expect([headers.age, cacheStatus]).toEqual([
      "3000",
      "larder; fwd=miss; fwd-status=200; stored; ttl=-2400",
    ]);
    for (let i = 0; i < 10; i++) expect((await larder.get(DEMO)).cacheStatus).toContain("hit; ttl=-2400");
    expect(upstream.requests).toHaveLength(1);
  });
});

describe("a 404", () => {
  it("is kept for a minute, not longer", async () => {
    await start();
    expect((await larder.get("/pypi/typo/json")).cacheStatus).toBe(
      "larder; fwd=miss; fwd-status=404; stored; ttl=60",
    );
    larder.clock.advance(59_000);
    expect((await larder.get("/pypi/typo/json")).cacheStatus).toBe("larder; hit; ttl=1");
    upstream.project("typo", { serial: 99 });
    larder.clock.advance(1_000);
    expect((await larder.get("/pypi/typo/json")).status).toBe(200);
  });

  it("replaces what was held, and takes the project's releases with it", async () => {
    await start();
    await larder.get("/pypi/demo/1.0/json");
    await larder.get(DEMO);
    upstream.remove("demo");
    larder.clock.advance(60 * MINUTE_MS);
    expect((await larder.get(DEMO)).status).toBe(404);
    expect((await larder.get("/pypi/demo/1.0/json")).status).toBe(404);
    await upstream.down();
    larder.clock.advance(2 * MINUTE_MS);
    expect((await larder.get(DEMO)).status).toBe(503);
  });
});

describe("many requests for one cold document", () => {
  it("are one request upstream", async () => {
    await start();
    const gate = upstream.hold();
    const waiting = Array.from({ length: 1_000 }, () => larder.get(DEMO));
    await upstream.arrived(1);
    await larder.get("/healthz"); // connected after the thousand
    gate.release();
    const answers = await Promise.all(waiting);
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(upstream.requests).toHaveLength(1);
    const collapsed = "larder; fwd=miss; fwd-status=200; stored; collapsed; ttl=600";
    expect(answers.filter(({ cacheStatus }) => cacheStatus === collapsed).length).toBeGreaterThan(900);
  });

  it("do not fail when the client that came first goes away", async () => {
    await start();
    const gate = upstream.hold();
    const leader = new AbortController();
    const first = larder.get(DEMO, { signal: leader.signal });
    await upstream.arrived(1);
    const others = Array.from({ length: 5 }, () => larder.get(DEMO));
    leader.abort();
    await expect(first).rejects.toThrow();
    await larder.logged((line) => line.aborted === true);
    gate.release();
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(upstream.requests).toHaveLength(1);
  });

  it("share a failure once: then one of them asks again for all", async () => {
    await start();
    upstream.fault({ kind: "status", status: 500 }, { times: 1 });
    const gate = upstream.hold();
    const waiting = Array.from({ length: 50 }, () => larder.get(DEMO));
    await upstream.arrived(1);
    gate.release();
    const statuses = (await Promise.all(waiting)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 503).length).toBeLessThanOrEqual(1);
    expect(upstream.requests).toHaveLength(2);
  });
});

describe("what was learnt", () => {
  it("outlives the process", async () => {
    await start();
    const cold = await larder.get(DEMO);
    await larder.stop();
    const { clock, dataDirectory } = larder;
    larder = await startLarder({ upstream, clock, dataDirectory });
    const warm = await larder.get(DEMO, { headers: { "if-none-match": String(cold.headers.etag) } });
    expect([warm.status, warm.cacheStatus]).toEqual([304, "larder; hit; ttl=600"]);
    expect((await larder.get(DEMO)).body.equals(cold.body)).toBe(true);
    expect(upstream.requests).toHaveLength(1);
  });
});
