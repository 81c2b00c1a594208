import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

let upstream: FakeUpstream;
let larder: TestLarder;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10 });
  larder = await startLarder({ upstream, env: { LARDER_PURGE_FROM: "loopback" } });
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

const DEMO = "/pypi/demo/json";
const purge = (path = DEMO) => larder.get(path, { method: "PURGE" });

describe("PURGE", () => {
  it("has upstream asked anew, for every document of the project and no other", async () => {
    upstream.project("other", { serial: 3 });
    upstream.release("demo", "1.0", { serial: 10 });
    for (const path of [DEMO, "/pypi/demo/1.0/json", "/pypi/other/json"]) await larder.get(path);
    expect((await purge("/simple/DEMO/")).body.toString()).toBe("purged demo\n");
    expect((await larder.get(DEMO)).cacheStatus).toContain("fwd-status=");
    expect((await larder.get("/pypi/demo/1.0/json")).cacheStatus).toContain("fwd-status=");
    expect((await larder.get("/pypi/other/json")).cacheStatus).toContain("hit");
    expect(await larder.logged((line) => line["msg"] === "purged")).toMatchObject({ project: "demo" });
  });

  it("wins over a forward that was begun before it", async () => {
    const gate = upstream.hold();
    const before = larder.get(DEMO);
    await upstream.arrived(1);
    larder.clock.advance(10);
    await purge();
    gate.release();
    expect((await before).status).toBe(200);
    expect((await larder.get(DEMO)).cacheStatus).toMatch(/fwd=.*fwd-status=/);
    expect(upstream.count(DEMO)).toBe(2);
  });

  it("is obeyed for who asks after it, though a forward from before it is under way", async () => {
    const gate = upstream.hold();
    const before = larder.get(DEMO);
    await upstream.arrived(1);
    larder.clock.advance(10);
    await purge();
    upstream.project("demo", { serial: 11 });
    const after = [larder.get(DEMO), larder.get(DEMO)];
    await upstream.arrived(2);
    gate.release();
    expect((await before).headers["x-pypi-last-serial"]).toBe("10");
    for (const answer of after) expect((await answer).headers["x-pypi-last-serial"]).toBe("11");
    expect(upstream.count(DEMO)).toBe(2);
  });

  it("does not leave an outage anything of the project to serve", async () => {
    await larder.get(DEMO);
    await purge();
    await upstream.down();
    expect((await larder.get(DEMO)).status).toBe(503);
    await upstream.up();
  });

  it("is for who may, and for projects", async () => {
    expect((await purge("/rss/updates.xml")).status).toBe(404);
    const closed = await startLarder({ upstream });
    expect((await closed.get(DEMO, { method: "PURGE" })).status).toBe(405);
    const allowOf = async (at: TestLarder) => (await at.get(DEMO, { method: "POST" })).headers.allow;
    expect([await allowOf(closed), await allowOf(larder)]).toEqual([
      "GET, HEAD, OPTIONS",
      "GET, HEAD, OPTIONS, PURGE",
    ]);
    await closed.close();
    const elsewhere = await startLarder({ upstream, env: { LARDER_PURGE_FROM: "192.0.2.1" } });
    expect((await elsewhere.get(DEMO, { method: "PURGE" })).status).toBe(403);
    await elsewhere.close();
  });
});
