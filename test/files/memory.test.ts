import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestClock } from "../support/clock.ts";
import { startLarder, type TestLarder } from "../support/larder.ts";
import type { BuiltFile } from "../support/packages/build.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

let upstream: FakeUpstream;
let larder: TestLarder;
let wheel: BuiltFile;
let clock: TestClock;

beforeEach(async () => {
  clock = new TestClock(Date.now());
  upstream = await startUpstream({ now: () => clock.now() });
  const [demo] = upstream.publish({
    name: "demo",
    releases: [{ version: "1.0", ballastBytes: 2_000_000 }],
  });
  wheel = demo!.releases[0]!.files[0]!;
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

async function start(memory: string): Promise<void> {
  const env = { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url, LARDER_MEMORY: memory };
  larder = await startLarder({ upstream, env, clock });
}

/** Takes every file off the disk, behind larder's back. */
function emptyDisk(): void {
  const files = join(larder.dataDirectory, "files");
  const folders = readdirSync(files, { withFileTypes: true }).filter((each) => each.isDirectory());
  expect(folders.length).toBeGreaterThan(0);
  for (const { name } of folders) rmSync(join(files, name), { recursive: true });
}

describe("a large file that is wanted again and again", () => {
  it("is in memory, whole and in any part, for as many as want it", async () => {
    await start("64MiB");
    for (let i = 0; i < 3; i++) expect((await larder.get(wheel.path)).body.equals(wheel.bytes)).toBe(true);
    emptyDisk();
    await upstream.down();
    const all = await Promise.all(Array.from({ length: 20 }, () => larder.get(wheel.path)));
    expect(all.every(({ status, body }) => status === 200 && body.equals(wheel.bytes))).toBe(true);
    expect(all.every(({ cacheStatus }) => cacheStatus.startsWith("larder; hit"))).toBe(true);
    const part = await larder.get(wheel.path, { headers: { range: "bytes=700001-1900000" } });
    expect([part.status, part.headers["content-range"]]).toEqual([
      206,
      `bytes 700001-1900000/${wheel.bytes.length}`,
    ]);
    expect(part.body.equals(wheel.bytes.subarray(700_001, 1_900_001))).toBe(true);
    const head = await larder.get(wheel.path, { method: "HEAD" });
    expect([head.status, head.headers["content-length"]]).toEqual([200, String(wheel.bytes.length)]);
    const beyond = await larder.get(wheel.path, { headers: { range: "bytes=99999999-" } });
    expect(beyond.status).toBe(416);
  });

  it("is not where it would take more than its part of LARDER_MEMORY", async () => {
    await start("16MiB");
    for (let i = 0; i < 3; i++) expect((await larder.get(wheel.path)).body.equals(wheel.bytes)).toBe(true);
    emptyDisk();
    await upstream.down();
    expect((await larder.get(wheel.path)).status).toBe(503);
  });
});

describe("a small file that left memory and disk", () => {
  it("is answered for by what came in its place, though the request is the same to the byte", async () => {
    const [one, other] = ["one", "other"].map(
      (name) => upstream.publish({ name, releases: [{ version: "1.0" }] })[0]!.releases[0]!.files[0]!,
    );
    // Room for one of them.
    await start(`${Math.ceil(one!.bytes.length * 1.5 + 1_024) * 8}B`);
    const part = { headers: { range: "bytes=0-9" } };
    for (let i = 0; i < 10; i++) await larder.get(one!.path, part);
    for (let i = 0; i < 10; i++) await larder.get(other!.path);
    emptyDisk();
    clock.advance(3_600_000);
    // Another client's request brings it back.
    const another = { headers: { "user-agent": "another" } };
    const again = await larder.get(one!.path, another);
    expect(again.cacheStatus).toContain("fwd=miss");
    await larder.get(one!.path, another);
    const hot = await larder.get(one!.path, part);
    expect([hot.status, hot.headers.date, hot.headers.age]).toEqual([206, again.headers.date, "0"]);
  });
});
