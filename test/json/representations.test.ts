import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Received } from "../support/client.ts";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const DEMO = "/pypi/demo/json";

let upstream: FakeUpstream;
let larder: TestLarder;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10, description: "x".repeat(30_000) });
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

const start = async (env: Record<string, string> = {}, from?: TestLarder): Promise<void> => {
  const before = from && { clock: from.clock, dataDirectory: from.dataDirectory };
  larder = await startLarder({ upstream, env: { LARDER_FILES: "larder", ...env }, ...before });
};

const get = (coding: string, host = "one.example"): Promise<Received> =>
  larder.get(DEMO, { headers: { host, "accept-encoding": coding } });

/** Takes every body out of the store, or makes it another. */
function spoilStore(how: "UPDATE piece SET bytes = randomblob(length(bytes))" | "DELETE FROM piece"): void {
  const database = new DatabaseSync(join(larder.dataDirectory, "larder.sqlite"));
  const { changes } = database.prepare(how).run();
  database.close();
  expect(changes).toBeGreaterThan(0);
}

const urlsFrom = ({ decoded }: Received): string[] =>
  [...decoded.toString().matchAll(/"url":"(http:\/\/[^/]+)\/packages/g)].map(([, base = ""]) => base);

describe("a document of which something was made", () => {
  it("comes in another coding out of that: the same bytes and tag as from the stored ones", async () => {
    await start();
    const gzip = await get("gzip");
    spoilStore("DELETE FROM piece");
    const [identity, zstd] = [await get("identity"), await get("zstd")];
    expect([identity, zstd].map(({ cacheStatus }) => cacheStatus)).toEqual([
      expect.stringContaining("hit"),
      expect.stringContaining("hit"),
    ]);
    expect(identity.body.equals(gunzipSync(gzip.body))).toBe(true);
    expect(upstream.count(DEMO)).toBe(1);
    await larder.close();
    await start();
    for (const [coding, before] of [
      ["identity", identity],
      ["zstd", zstd],
      ["gzip", gzip],
    ] as const) {
      const made = await get(coding);
      expect([made.headers.etag, made.body.equals(before.body)]).toEqual([before.headers.etag, true]);
    }
  });

  it("goes out in the coding it is stored in as it is stored, though identity was made first", async () => {
    await start({ LARDER_FILES: "upstream" });
    const [first, identity, gzip] = [await get("gzip"), await get("identity"), await get("gzip")];
    await larder.close();
    await start({ LARDER_FILES: "upstream" });
    const [identityFirst, gzipThen] = [await get("identity"), await get("gzip")];
    expect(gzip.body.equals(first.body)).toBe(true);
    expect(gzipThen.body.equals(first.body)).toBe(true);
    expect(identityFirst.body.equals(identity.body)).toBe(true);
  });

  it("is read from the store for another host, with upstream gone", async () => {
    await start();
    await get("gzip");
    await upstream.down();
    const other = await get("gzip", "two.example");
    expect(other.status).toBe(200);
    expect(new Set(urlsFrom(other))).toEqual(new Set(["http://two.example"]));
  });

  it.each(["DELETE FROM piece", "UPDATE piece SET bytes = randomblob(length(bytes))"] as const)(
    "is asked for again for another host where the store has lost it, and stays for the first (%s)",
    async (how) => {
      await start();
      const first = await get("gzip");
      spoilStore(how);
      await upstream.down();
      expect((await get("gzip", "two.example")).status).toBe(503);
      const again = await get("gzip");
      expect([again.status, again.body.equals(first.body)]).toEqual([200, true]);
      await upstream.up();
      larder.clock.advance(60_000);
      const other = await get("gzip", "two.example");
      expect([other.status, upstream.count(DEMO)]).toEqual([200, 2]);
      expect(new Set(urlsFrom(other))).toEqual(new Set(["http://two.example"]));
    },
  );
});

describe("a document that was just fetched", () => {
  /** What waits to be forgotten: the only timers of this length here. */
  const decodedHeld = (): number => larder.clock.pending.filter((delayMs) => delayMs === 1_000).length;

  it.each([
    ["larder", "gzip"],
    ["larder", "identity"],
    ["upstream", "gzip"],
  ])("is not held decoded once it was made ready: file URLs to %s, in %s", async (files, coding) => {
    await start({ LARDER_FILES: files });
    await get(coding);
    expect(decodedHeld()).toBe(0);
  });
});
