import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Memory } from "../../src/cache/memory.ts";
import { Tiers } from "../../src/cache/tiers.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import type { Store } from "../../src/store/store.ts";
import { TestClock } from "../support/clock.ts";
import { changeOf, T0 } from "../store/entries.ts";

let folder: string;
let store: Store;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "larder-purge-"));
  store = openEmbeddedStore({
    file: join(folder, "larder.sqlite"),
    maxBytes: 1 << 20,
    clock: new TestClock(T0),
    onSurvived: () => undefined,
  });
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

it("notes a purge, though another node stored an older answer between its two steps", async () => {
  const raced: Store = {
    read: (group, name) => store.read(group, name),
    readBody: (entry) => store.readBody(entry),
    write: (change) => store.write(change),
    touch: (entries) => store.touch(entries),
    remove: async (group) => {
      await store.remove(group);
      await store.write(changeOf(group, "json", 10, Buffer.from("asked for before")));
    },
    advance: (groups, at) => store.advance(groups, at),
    readFeed: () => store.readFeed(),
    writeFeed: (position) => store.writeFeed(position),
    size: () => store.size(),
    close: () => store.close(),
  };
  const tiers = new Tiers(new Memory(1 << 20), raced, new TestClock(T0), { everyMs: 1_000 });
  await tiers.purge("demo", T0 + 1);
  expect((await store.read("demo", "json")).head).toMatchObject({ generation: 10, invalidatedAt: T0 + 1 });
});

it("is not forgotten by memory, though an answer that knows nothing of it was just being stored", async () => {
  const tiers = new Tiers(new Memory(1 << 20), store, new TestClock(T0), { everyMs: Infinity });
  const { head, entry } = changeOf("demo", "json", 10, Buffer.from("asked for before"));
  await tiers.purge("demo", T0 + 1);
  tiers.hold(head, entry!, Buffer.from("asked for before"), { isLowered: false, isStored: true });
  expect(tiers.find("demo", "json")?.head).toMatchObject({ generation: 10, invalidatedAt: T0 + 1 });
});
