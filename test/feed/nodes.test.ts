import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { fetchRaw } from "../support/client.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type RunningRedis, startRedis } from "../support/redis.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const redisServer = inject("redisServer");
const DEMO = "/pypi/demo/json";
const SOON = { timeout: 15_000 };

/** With its real clock: Redis has one of its own. */
describe.skipIf(redisServer === undefined)("larders over one Redis that follow the change feed", () => {
  let upstream: FakeUpstream;
  let redis: RunningRedis;
  let larders: LarderProcess[];

  beforeEach(async () => {
    upstream = await startUpstream();
    upstream.project("demo", { serial: 10 });
    redis = await startRedis(redisServer ?? "");
    larders = await Promise.all([start(), start()]);
  });

  afterEach(async () => {
    for (const larder of larders) await larder.end("SIGKILL");
    await redis.stop();
    await upstream.close();
  });

  function start(): Promise<LarderProcess> {
    return startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES: "upstream",
      LARDER_FEED: "changelog",
      LARDER_FEED_INTERVAL: "1s",
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    });
  }

  interface State {
    readonly leads: boolean;
    readonly serial?: number;
  }
  const stateOf = async ({ url }: LarderProcess): Promise<State> => {
    const readiness = JSON.parse((await fetchRaw(url, "/readyz")).body.toString()) as { feed: State };
    return readiness.feed;
  };
  const serialOf = async ({ url }: LarderProcess) =>
    (await fetchRaw(url, DEMO)).headers["x-pypi-last-serial"];
  const leaders = async (): Promise<number> =>
    (await Promise.all(larders.map(stateOf))).filter(({ leads }) => leads).length;
  /** Before and after a few questions to the feed. */
  const leadersForAWhile = async (): Promise<number[]> => {
    const before = await leaders();
    await upstream.arrived(upstream.count("/pypi") + 5, "/pypi");
    return [before, await leaders()];
  };

  it("have one who asks, and all serve what it has learnt; another goes on when it stops", async () => {
    await expect
      .poll(async () => (await Promise.all(larders.map(stateOf))).map(({ serial }) => serial), SOON)
      .toEqual([10, 10]);
    // Who had no Redis yet when it began is put right by the fence of its position.
    await expect.poll(leadersForAWhile, SOON).toEqual([1, 1]);
    expect(await Promise.all(larders.map(serialOf))).toEqual(["10", "10"]);
    upstream.project("demo", { serial: 11 });
    await expect.poll(() => Promise.all(larders.map(serialOf)), SOON).toEqual(["11", "11"]);

    const isLeader = (await stateOf(larders[0]!)).leads;
    const [leader, other] = isLeader ? [larders[0]!, larders[1]!] : [larders[1]!, larders[0]!];
    await leader.end("SIGTERM");
    larders = [other];
    await expect.poll(leaders, SOON).toBe(1);
    upstream.project("demo", { serial: 12 });
    await expect.poll(() => serialOf(other), SOON).toBe("12");
  });
});

describe("workers that follow the change feed", () => {
  it("have one who asks, and all serve what it has learnt; another goes on when it is killed", async () => {
    const upstream = await startUpstream();
    upstream.project("demo", { serial: 10 });
    const data = mkdtempSync(join(tmpdir(), "larder-feed-"));
    const larder = await startProcess({
      LARDER_UPSTREAM: upstream.url,
      LARDER_FILES: "upstream",
      LARDER_DATA: data,
      LARDER_FEED: "changelog",
      LARDER_FEED_INTERVAL: "1s",
      LARDER_WORKERS: "2",
    });
    /** The serials that so many answers have, each over a connection of its own. */
    const serials = async (): Promise<unknown[]> => {
      const answers = Array.from({ length: 8 }, () =>
        fetchRaw(larder.url, DEMO, { headers: { connection: "close" } }),
      );
      return [...new Set((await Promise.all(answers)).map(({ headers }) => headers["x-pypi-last-serial"]))];
    };
    try {
      await upstream.arrived(3, "/pypi");
      expect(await serials()).toEqual(["10"]);
      upstream.project("demo", { serial: 11 });
      await expect.poll(serials, SOON).toEqual(["11"]);
      const leading = larder.log().filter(({ msg }) => String(msg).includes("follow"));
      expect(new Set(leading.map(({ worker }) => worker)).size).toBe(1);
      const leader = leading[0]?.["pid"];
      if (typeof leader !== "number") throw new Error("nobody leads");
      process.kill(leader, "SIGKILL");
      upstream.project("demo", { serial: 12 });
      await expect.poll(serials, SOON).toEqual(["12"]);
    } finally {
      await larder.end("SIGKILL");
      await upstream.close();
      rmSync(data, { recursive: true, force: true });
    }
  });
});
