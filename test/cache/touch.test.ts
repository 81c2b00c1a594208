import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it, onTestFinished } from "vitest";
import { Memory } from "../../src/cache/memory.ts";
import { Tiers } from "../../src/cache/tiers.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { TestClock } from "../support/clock.ts";
import { watchLoop } from "../support/loop-watch.ts";
import { changeOf, T0 } from "../store/entries.ts";

const ENTRIES = 10_000;

it("tells the store of all that was used, and lets the loop go meanwhile", async () => {
  const folder = mkdtempSync(join(tmpdir(), "larder-touch-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const clock = new TestClock(T0);
  const places = { file: join(folder, "larder.sqlite"), clock, onSurvived: () => undefined };
  const store = openEmbeddedStore({ ...places, maxBytes: 1 << 30 });
  onTestFinished(async () => await store.close());
  const memory = new Memory(1 << 30);
  const tiers = new Tiers(memory, store, clock, { everyMs: Infinity });
  for (let i = 0; i < ENTRIES; i++) {
    const change = changeOf(`group-${i}`, "json", 1, Buffer.from("x"));
    await store.write(change);
    memory.put(change.head, change.entry!, change.body, T0, true);
  }
  clock.advance(120_000);
  const { turns, longestMs } = await watchLoop(async () => {
    for (let i = 0; i < ENTRIES; i++) memory.find(`group-${i}`, "json");
    await tiers.touchStore();
  });
  expect(longestMs).toBeLessThan(50);
  expect(turns).toBeGreaterThan(ENTRIES / 300);
  await store.close();
  const db = new DatabaseSync(places.file);
  onTestFinished(() => db.close());
  const used = db.prepare("SELECT count(*) AS entries FROM entry WHERE used_at = ?").get(clock.now());
  expect(used).toEqual({ entries: ENTRIES });
});
