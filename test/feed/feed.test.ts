import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestClock } from "../support/clock.ts";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** No other timer of larder's is as long: so the clock tells when a poll is over. */
const INTERVAL_MS = 50 * SECOND_MS;
const DEMO = "/pypi/demo/json";
const OTHER = "/simple/other/";
const RPC = "/pypi";

let upstream: FakeUpstream;
let larder: TestLarder;
let clock: TestClock;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10, releases: ["1.0", "2.0"] });
  upstream.publish({ name: "Other", serial: 20, releases: [{ version: "1.0" }] });
  clock = new TestClock(Date.now());
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

const ENV = {
  LARDER_FEED: "changelog",
  LARDER_FEED_INTERVAL: "50s",
  // What is asked behind would still be under way when the clock goes on.
  LARDER_STALE_WHILE_REVALIDATE: "0",
  // Unlike all waits of the feed: the tests tell timers apart by their length.
  LARDER_PATIENCE: "1300ms",
  LARDER_FIRST_BYTE_TIMEOUT: "8300ms",
  LARDER_BETWEEN_BYTES_TIMEOUT: "10300ms",
};

/** Starts a larder; where the feed answers, it has reached its end. */
async function start(env: Record<string, string> = {}, dataDirectory?: string): Promise<void> {
  larder = await startLarder({
    upstream,
    clock,
    env: { ...ENV, ...env },
    ...(dataDirectory !== undefined && { dataDirectory }),
  });
}

async function restart(meanwhile: () => void = () => undefined): Promise<void> {
  await larder.stop();
  meanwhile();
  await start({}, larder.dataDirectory);
}

/** Lets time pass, poll by poll. */
async function pass(ms: number, eachTime: () => Promise<unknown> = () => Promise.resolve()): Promise<void> {
  await clock.untilTimer(INTERVAL_MS);
  for (const until = clock.now() + ms; clock.now() < until;) {
    clock.advance(INTERVAL_MS);
    // Where nothing has changed, that is asked about a second later.
    await Promise.race([clock.untilTimer(SECOND_MS), clock.untilTimer(INTERVAL_MS)]);
    if (!clock.pending.includes(INTERVAL_MS)) clock.advance(SECOND_MS);
    await clock.untilTimer(INTERVAL_MS);
    await eachTime();
  }
}

/** Waits out the pause before the next question, and for its answer. */
async function next(pauseMs: number): Promise<void> {
  const asked = upstream.count(RPC);
  await clock.untilTimer(pauseMs);
  clock.advance(pauseMs);
  await upstream.arrived(asked + 1, RPC);
}

/** A document that was confirmed long enough after its last change for the feed to vouch for it. */
async function settle(...paths: readonly string[]): Promise<void> {
  for (const path of paths) await larder.get(path);
  await pass(16 * MINUTE_MS);
  for (const path of paths) expect((await larder.get(path)).cacheStatus).toContain("fwd-status=304");
}

const counts = (...paths: readonly string[]) => paths.map((path) => upstream.count(path));
const serialOf = async (path: string) => (await larder.get(path)).headers["x-pypi-last-serial"];
const said = (msg: string) => larder.logged((line) => line["msg"] === msg);

async function feed(): Promise<Record<string, unknown>> {
  const { feed } = JSON.parse((await larder.get("/readyz")).body.toString()) as {
    feed: Record<string, unknown>;
  };
  return feed;
}

describe("with the change feed", () => {
  it("a hot project is not asked for, however long it stays as it is", async () => {
    await start();
    await settle(DEMO, OTHER);
    const before = counts(DEMO, OTHER);
    await pass(8 * HOUR_MS, async () => {
      expect((await larder.get(DEMO)).cacheStatus).toBe("larder; hit; ttl=600");
      expect((await larder.get(OTHER)).cacheStatus).toBe("larder; hit; ttl=600");
    });
    expect(counts(DEMO, OTHER)).toEqual(before);
    expect(counts("/pypi/nope/json", "/pypi/demo/2.0/json")).toEqual([0, 0]);
  });

  it("a document is asked for once more after the time for which the CDN may lag, and then no more", async () => {
    await start();
    await larder.get(DEMO);
    await pass(2 * HOUR_MS, () => larder.get(DEMO));
    expect(upstream.count(DEMO)).toBe(2);
  });

  it("a project that changes is asked for with the next request after the next poll, and no other is", async () => {
    await start();
    await settle(DEMO, OTHER);
    const before = upstream.count(OTHER);
    upstream.project("demo", { serial: 30, releases: ["1.0", "2.0", "3.0"] });
    expect((await larder.get(DEMO)).cacheStatus).toContain("hit");
    await pass(INTERVAL_MS);
    const changed = await larder.get(DEMO);
    expect(changed.cacheStatus).toBe("larder; fwd=stale; fwd-status=200; stored; ttl=600");
    expect(changed.headers["x-pypi-last-serial"]).toBe("30");
    await larder.get(OTHER);
    expect(upstream.count(OTHER)).toBe(before);
  });

  it("a change ends what memory holds and what only the store holds, under whatever spelling it is told", async () => {
    await start({ LARDER_MEMORY: "0" });
    await settle(OTHER);
    upstream.publish({ name: "Other", serial: 40, releases: [{ version: "1.0" }, { version: "2.0" }] });
    await pass(INTERVAL_MS);
    expect(await serialOf(OTHER)).toBe("40");
  });

  it("a burst of changes is one mark, and one request", async () => {
    await start();
    await settle(DEMO);
    const before = upstream.count(DEMO);
    for (let file = 0; file < 31; file++) upstream.journal("Demo", { action: `add py3 file ${file}` });
    upstream.project("demo", { serial: 60 });
    await pass(INTERVAL_MS);
    await Promise.all(Array.from({ length: 10 }, () => larder.get(DEMO)));
    expect(await serialOf(DEMO)).toBe("60");
    expect(upstream.count(DEMO)).toBe(before + 1);
    expect((await larder.get("/metrics")).body.toString()).toMatch(/^larder_feed_marks_total 1$/m);
  });

  it("a 404 ends when its project, or a release of it, appears", async () => {
    await start();
    await settle(DEMO);
    const paths = ["/pypi/late/json", "/simple/late/", "/pypi/demo/3.0/json"];
    for (const path of paths) expect((await larder.get(path)).status).toBe(404);
    upstream.publish({ name: "Late", serial: 50, releases: [{ version: "1.0" }] });
    upstream.project("demo", { serial: 51, releases: ["1.0", "2.0", "3.0"] });
    for (const path of paths) expect((await larder.get(path)).status).toBe(404);
    await pass(INTERVAL_MS);
    for (const path of paths) expect((await larder.get(path)).status, path).toBe(200);
  });

  it("a project that is removed is gone after the next poll", async () => {
    await start();
    await settle(DEMO, OTHER);
    upstream.remove("demo");
    await pass(INTERVAL_MS);
    expect((await larder.get(DEMO)).status).toBe(404);
  });

  it("each document is still asked for within the hard limit, for what no journal tells", async () => {
    await start({ LARDER_FEED_OWN_CHECK: "2h" });
    await settle(DEMO);
    const before = upstream.count(DEMO);
    upstream.project("demo", { serial: 10, description: "a vulnerability was found" });
    await pass(110 * MINUTE_MS, () => larder.get(DEMO));
    expect(upstream.count(DEMO)).toBe(before);
    await pass(20 * MINUTE_MS, () => larder.get(DEMO));
    expect(upstream.count(DEMO)).toBe(before + 1);
    expect((await larder.get(DEMO)).decoded.toString()).toContain("a vulnerability was found");
  });

  it("a CDN that goes on answering with the old serial is asked less and less often", async () => {
    await start();
    await settle(DEMO);
    const before = upstream.count(DEMO);
    upstream.journal("demo", { action: "invite Owner somebody" }); // a serial without a purge
    await pass(20 * HOUR_MS, () => larder.get(DEMO));
    const asked = upstream.count(DEMO) - before;
    expect(asked).toBeGreaterThan(10);
    expect(asked).toBeLessThan(150);
    upstream.project("demo", { serial: upstream.changelog.lastSerial(), description: "purged at last" });
    await pass(11 * MINUTE_MS, () => larder.get(DEMO));
    expect((await larder.get(DEMO)).decoded.toString()).toContain("purged at last");
  });

  it("a document that came late from the CDN is not kept as if it were new", async () => {
    await start();
    // Changed before anything of it was held; what is fetched is what was before the change.
    upstream.journal("demo", { serial: 31 });
    await pass(INTERVAL_MS);
    expect(await serialOf(DEMO)).toBe("10");
    upstream.project("demo", { serial: 31 });
    await pass(16 * MINUTE_MS);
    expect(await serialOf(DEMO)).toBe("31");
  });

  it("the index of all projects does not make every project be asked for again", async () => {
    await start();
    await settle(DEMO);
    const before = upstream.count(DEMO);
    await larder.get("/simple/");
    await pass(INTERVAL_MS);
    expect((await larder.get(DEMO)).cacheStatus).toBe("larder; hit; ttl=600");
    expect(upstream.count(DEMO)).toBe(before);
    expect(upstream.count("/simple/")).toBe(1);
    await pass(HOUR_MS, () => larder.get("/simple/"));
    expect(upstream.count("/simple/")).toBeGreaterThan(2); // of that the feed says nothing
  });
});

describe("after a restart", () => {
  it("it goes on where it was left, and what has not changed is fresh at once", async () => {
    await start();
    await settle(DEMO, OTHER);
    const before = counts(DEMO, OTHER);
    const { followedSince } = await feed();
    await restart(() => {
      clock.advance(2 * HOUR_MS);
      upstream.project("demo", { serial: 30 });
    });
    await next(SECOND_MS);
    await clock.untilTimer(INTERVAL_MS);
    expect((await larder.get(OTHER)).cacheStatus).toBe("larder; hit; ttl=600");
    expect(await serialOf(DEMO)).toBe("30");
    expect(counts(DEMO, OTHER)).toEqual([before[0]! + 1, before[1]]);
    expect(await feed()).toMatchObject({ leads: true, serial: 30, followedSince });
  });

  it("it catches up page by page, a second apart, and lends nothing until it has", async () => {
    await start();
    await settle(DEMO, OTHER);
    upstream.changelog.pageRows = 1_500;
    const asked = upstream.count(RPC);
    await restart(() => {
      clock.advance(2 * HOUR_MS);
      for (let i = 0; i < 3_500; i++) upstream.journal(`noise-${i % 900}`);
      upstream.project("demo", { serial: upstream.changelog.lastSerial() + 1 });
    });
    await next(SECOND_MS);
    await next(SECOND_MS);
    await clock.untilTimer(SECOND_MS);
    expect((await larder.get(OTHER)).cacheStatus).toContain("fwd=stale");
    await next(SECOND_MS);
    await said("caught up with the change feed");
    expect(upstream.count(RPC)).toBe(asked + 4);
    expect(await serialOf(DEMO)).toBe(String(upstream.changelog.lastSerial()));
  });

  it("a gap that is too long is given up: lifetimes hold, and then the feed does again", async () => {
    await start();
    await settle(DEMO, OTHER);
    await restart(() => {
      clock.advance(2 * HOUR_MS);
      upstream.journal("noise", { serial: upstream.changelog.lastSerial() + 1_000_001 });
      upstream.project("demo", { serial: upstream.changelog.lastSerial() + 1 });
    });
    const line = await said("the change feed begins anew: what was stored before goes by its lifetimes");
    expect(line).toMatchObject({ reached: "too-long", serial: upstream.changelog.lastSerial() });
    await clock.untilTimer(INTERVAL_MS);
    expect((await larder.get(OTHER)).cacheStatus).toContain("fwd=stale; fwd-status=304");
    expect(await serialOf(DEMO)).toBe(String(upstream.changelog.lastSerial()));
    await settle(OTHER);
    const before = upstream.count(OTHER);
    await pass(HOUR_MS, () => larder.get(OTHER));
    expect(upstream.count(OTHER)).toBe(before);
  });

  it("an upstream that was restored from a backup is noticed, also while it is followed", async () => {
    await start();
    await settle(OTHER);
    upstream.changelog.restore(15);
    clock.advance(INTERVAL_MS);
    await next(SECOND_MS);
    const line = await said("the change feed begins anew: what was stored before goes by its lifetimes");
    expect(line).toMatchObject({ reached: "went-back", serial: 10 });
    await clock.untilTimer(INTERVAL_MS);
    expect(await feed()).toMatchObject({ serial: 10, followedSince: clock.now() });
  });
});

describe("where the feed cannot be followed", () => {
  it.each([
    ["is broken", { kind: "status", status: 500 }, "status"],
    ["is not what it should be", { kind: "html" }, "not-xmlrpc"],
    ["breaks off", { kind: "truncated" }, "truncated"],
  ] as const)("since it %s, lifetimes hold, and it is told once", async (_, fault, failure) => {
    await start();
    await settle(DEMO);
    const before = upstream.count(DEMO);
    const mend = upstream.fault(fault, { path: RPC });
    clock.advance(INTERVAL_MS);
    expect(await said("the change feed cannot be followed: lifetimes hold until it can")).toMatchObject({
      failure,
    });
    for (const pause of [5, 10, 20, 40]) await next(pause * SECOND_MS);
    await clock.untilTimer(INTERVAL_MS);
    expect((await larder.get(DEMO)).cacheStatus).toMatch(/hit; ttl=4\d\d$/);
    clock.advance(10 * MINUTE_MS);
    await larder.get(DEMO);
    await expect.poll(() => upstream.count(DEMO)).toBe(before + 1);
    mend();
    await expect
      .poll(
        () => {
          clock.advance(INTERVAL_MS);
          return larder.log.some((line) => line["msg"] === "the change feed answers again");
        },
        { timeout: 10_000 },
      )
      .toBe(true);
    const told = larder.log.filter((line) => String(line["msg"]).startsWith("the change feed cannot"));
    expect(told).toHaveLength(1);
  });

  it("since it was asked too often, it is left alone for as long as it says, and documents are not", async () => {
    await start();
    await clock.untilTimer(INTERVAL_MS);
    const message = "HTTPTooManyRequests: The action could not be performed. Limit may reset in 41 seconds.";
    upstream.fault({ kind: "xmlrpc-fault", message }, { path: RPC, times: 1 });
    clock.advance(INTERVAL_MS);
    expect((await larder.get(DEMO)).status).toBe(200);
    await next(41 * SECOND_MS);
    await said("the change feed answers again");
    expect((await larder.get("/metrics")).body.toString()).toMatch(
      /^larder_feed_polls_total\{outcome="rate-limited"\} 1$/m,
    );
  });

  it("from the start, everything is as without it", async () => {
    upstream.fault({ kind: "status", status: 404 }, { path: RPC });
    await start();
    await said("the change feed cannot be followed: lifetimes hold until it can");
    expect((await larder.get(DEMO)).cacheStatus).toContain("stored");
    expect(await feed()).toMatchObject({ is: "on", leads: true, lastFailure: "POST: upstream answered 404" });
    clock.advance(11 * MINUTE_MS);
    expect((await larder.get(DEMO)).cacheStatus).toContain("fwd=stale; fwd-status=304");
  });

  it("it takes no time to stop, even while it waits for an answer", async () => {
    const gate = upstream.hold(RPC);
    await start();
    await upstream.arrived(1, RPC);
    await larder.stop();
    gate.release();
  });
});

describe("an operator", () => {
  it("sees how far it has been followed, by whom, and how old that is", async () => {
    await start();
    await clock.untilTimer(INTERVAL_MS);
    clock.advance(7 * SECOND_MS);
    expect(await feed()).toEqual({
      is: "on",
      leads: true,
      serial: 20,
      asOf: clock.now() - 7_000,
      followedSince: clock.now() - 7_000,
      lagMs: 7_000,
    });
    const metrics = (await larder.get("/metrics")).body.toString();
    expect(metrics).toMatch(/^larder_feed_leads 1$/m);
    expect(metrics).toMatch(/^larder_feed_serial 20$/m);
    expect(metrics).toMatch(/^larder_feed_lag_seconds 7$/m);
    expect(metrics).toMatch(/^larder_feed_polls_total\{outcome="begun"\} 1$/m);
  });

  it("who wants no feed has none", async () => {
    await start({ LARDER_FEED: "off" });
    await larder.get(DEMO);
    expect(await feed()).toEqual({ is: "off" });
    expect(upstream.count(RPC)).toBe(0);
    expect((await larder.get("/metrics")).body.toString()).not.toContain("larder_feed");
  });
});
