import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../src/clock.ts";
import { StoreUnavailable } from "../../src/errors.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { ENTRY_OVERHEAD_BYTES } from "../../src/store/embedded-change.ts";
import type { Entry, Found, Store } from "../../src/store/store.ts";
import { TestClock } from "../support/clock.ts";
import { watchLoop } from "../support/loop-watch.ts";
import { describeStore } from "./contract.ts";
import { changeOf, digestOf, entryOf, headOf, T0 } from "./entries.ts";

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;

let folder: string;
let file: string;
let survived: string[];
let opened: Store[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "larder-embedded-"));
  file = join(folder, "data", "larder.sqlite");
  survived = [];
  opened = [];
});
afterEach(async () => {
  for (const store of opened) await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(maxBytes = 100 * MIB, clock: Clock = systemClock): Store {
  const onSurvived = (what: string): void => void survived.push(what);
  const store = openEmbeddedStore({ file, maxBytes, clock, onSurvived });
  opened.push(store);
  return store;
}

describeStore("the embedded store", () =>
  Promise.resolve({
    open: () => Promise.resolve(open()),
    clear: async () => {
      await Promise.resolve();
      expect(survived).toEqual([]);
    },
  }),
);

/** What was answered without a promise. */
function now<T>(value: T | Promise<T>): T {
  if (value instanceof Promise) throw new Error("a promise, where an answer at once was promised");
  return value;
}

function readNow(store: Store, group: string, name = "json"): Found {
  return now(store.read(group, name));
}

describe("the embedded store answers at once", () => {
  it("where it reads, and where it writes bodies up to 1 MiB", () => {
    const store = open();
    const body = Buffer.alloc(MIB, 1);
    expect(now(store.write(changeOf("sync", "json", 1, body)))).toBe("written");
    expect(now(store.readBody(readNow(store, "sync").entry!))?.length).toBe(MIB);
    now(store.touch([{ group: "sync", name: "json" }]));
    now(store.remove("sync"));
    now(store.size());
  });

  it("and lets the loop go while it moves 30 MiB", async () => {
    const store = open();
    const body = Buffer.alloc(30 * MIB, "some thirty megabytes ");
    let generation = 0;
    // What is written again is written as anew: other bytes, under another name for the first.
    const write = async (name: string): Promise<void> => {
      generation += 1;
      const change = changeOf("large", name, generation, body.subarray(generation), generation - 1);
      expect(await store.write(change)).toBe("written");
    };
    const writing = await watchLoop(() => write(`json/${generation}`));
    const { entry } = readNow(store, "large", "json/0");
    const reading = await watchLoop(() => store.readBody(entry!));
    const replacing = await watchLoop(() => write("json/0"));
    await store.close();
    for (const { longestMs } of [writing, reading, replacing]) expect(longestMs).toBeLessThan(50);
  });
});

describe("the embedded store is bounded", () => {
  const small = Buffer.alloc(10_000, 7);
  const cost = small.length + ENTRY_OVERHEAD_BYTES;

  it("holds no more than its limit after many times as much was written, and still the newest", async () => {
    const store = open(20 * cost);
    const groups = Array.from({ length: 100 }, (_, i) => `group-${i}`);
    for (const group of groups) await store.write(changeOf(group, "json", 1, small));
    const kept = groups.filter((group) => readNow(store, group).entry !== undefined);
    expect(kept).toEqual(groups.slice(-20));
    expect(now(store.size())).toEqual({ entries: 20, bytes: 20 * small.length });
  });

  it("evicts what was used longest ago: reads and touches count", async () => {
    const clock = new TestClock(T0);
    const store = open(4 * cost, clock);
    for (const group of ["a", "b", "c", "d"]) await store.write(changeOf(group, "json", 1, small));
    clock.advance(2 * MINUTE_MS);
    readNow(store, "a");
    await store.touch([{ group: "c", name: "json" }]);
    clock.advance(1);
    await store.write(changeOf("e", "json", 1, small));
    await store.write(changeOf("f", "json", 1, small));
    const kept = ["a", "b", "c", "d", "e", "f"].filter((group) => readNow(store, group).entry !== undefined);
    expect(kept).toEqual(["a", "c", "e", "f"]);
  });

  it("remembers uses that no write took along: after a second, and at the end", async () => {
    const clock = new TestClock(T0);
    const first = open(100 * cost, clock);
    for (const group of ["a", "b", "c"]) await first.write(changeOf(group, "json", 1, small));
    clock.advance(2 * MINUTE_MS);
    readNow(first, "a");
    clock.advance(1_000);
    readNow(first, "b");
    const second = open(2 * cost, clock);
    await first.close();
    await second.write({ group: "a", head: headOf(1), basis: 1 });
    const kept = ["a", "b", "c"].filter((group) => readNow(second, group).entry !== undefined);
    expect(kept).toEqual(["a", "b"]);
  });

  it("evicts the head with the last entry of a group, not before", async () => {
    const store = open(2 * cost);
    await store.write(changeOf("old", "a", 1, small));
    await store.write(changeOf("old", "b", 1, small));
    await store.write(changeOf("new", "a", 1, small));
    expect(readNow(store, "old").head).toEqual(headOf(1));
    await store.write(changeOf("new", "b", 1, small));
    expect(readNow(store, "old").head).toBeUndefined();
  });

  it("evicts negative entries too", async () => {
    const store = open(10 * ENTRY_OVERHEAD_BYTES);
    for (let i = 0; i < 50; i += 1) {
      const group = `gone-${i}`;
      await store.write({ group, head: headOf(0), basis: 0, entry: entryOf(group, "json", 0, undefined) });
    }
    expect(now(store.size())).toEqual({ entries: 10, bytes: 0 });
  });

  it("never evicts the entry just written, and makes room for a large one", async () => {
    const store = open(3 * MIB);
    for (let i = 0; i < 200; i += 1) await store.write(changeOf(`small-${i}`, "json", 1, small));
    const large = Buffer.alloc(3 * MIB - ENTRY_OVERHEAD_BYTES, 3);
    await store.write(changeOf("large", "json", 1, large));
    expect(now(store.size())).toEqual({ entries: 1, bytes: large.length });
    expect((await store.readBody(readNow(store, "large").entry!))?.equals(large)).toBe(true);
  });

  it("stores the head alone of an entry that is larger than everything", async () => {
    const store = open(MIB);
    const body = Buffer.alloc(MIB, 1);
    expect(await store.write(changeOf("huge", "json", 7, body))).toBe("failed");
    expect(readNow(store, "huge")).toEqual({ head: headOf(7), entry: undefined });
  });

  it("keeps a bounded number of heads without entries", async () => {
    const store = open();
    await store.write({ group: "first", head: headOf(1, { confirmedAt: T0 - 1 }), basis: 0 });
    withDatabase((db) => {
      db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        INSERT INTO head SELECT 'bare-' || i, 1, ${T0}, ${T0}, 0, 0, 1 FROM n`);
    });
    await store.write({ group: "last", head: headOf(1), basis: 0 });
    expect(readNow(store, "first").head).toBeUndefined();
    expect(readNow(store, "last").head).toEqual(headOf(1));
  });

  it("gives space back to the file system, or uses it again", async () => {
    const store = open(200 * MIB);
    const body = Buffer.alloc(10 * MIB, 1);
    for (const name of ["a", "b", "c", "d", "e"]) await store.write(changeOf("space", name, 1, body));
    await store.remove("space");
    await store.close();
    const reopened = open(200 * MIB);
    expect(now(reopened.size())).toEqual({ entries: 0, bytes: 0 });
    while (statSync(file).size > 20 * MIB) await new Promise((resolve) => setImmediate(resolve));
  });

  it("comes down to a lower limit by itself when it is opened with one", async () => {
    const store = open(100 * cost);
    for (let i = 0; i < 100; i += 1) await store.write(changeOf(`group-${i}`, "json", 1, small));
    await store.close();
    const lower = open(10 * cost);
    while (now(lower.size()).entries > 10) await new Promise((resolve) => setImmediate(resolve));
    expect(readNow(lower, "group-99").entry).toBeDefined();
  });
});

describe("the embedded store is shared by processes", () => {
  it("keeps everything that two of them say they have written at the same time", async () => {
    const writers = ["one", "two"].map((group) => ({ group, child: startWriter(group, 40) }));
    await Promise.all(writers.map(({ child }) => once(child, "exit")));
    const store = open();
    for (const { group } of writers) {
      expect(readNow(store, group).head?.generation).toBe(40);
      await expectWhole(store, readNow(store, group).entry);
      await expectWhole(store, readNow(store, "shared", group).entry);
    }
    expectIntact();
  });

  it("waits off the loop while another one is writing, and still reads at once", async () => {
    const store = open();
    await store.write(changeOf("busy", "json", 1, Buffer.from("before")));
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    const writing = store.write(changeOf("busy", "json", 2, Buffer.from("after"), 1));
    expect(writing).toBeInstanceOf(Promise);
    expect(readNow(store, "busy").head?.generation).toBe(1);
    other.exec("ROLLBACK");
    other.close();
    expect(await writing).toBe("written");
  });

  it("does not wait for ever", async () => {
    const clock = new TestClock(T0);
    const store = open(MIB, clock);
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    const writing = Promise.resolve(store.write(changeOf("busy", "json", 2, Buffer.from("x"))));
    const outcome = writing.catch((error: unknown) => error);
    for (let waits = 0; waits < 100; waits += 1) {
      await clock.untilPending(1);
      clock.advance(20);
    }
    expect(await outcome).toBeInstanceOf(StoreUnavailable);
    other.close();
  });

  it("leaves alone what another process is just writing, and sweeps what one has left behind", async () => {
    await open().close();
    withDatabase((db) => {
      db.exec(`UPDATE tally SET last_body = 2;
        INSERT INTO loose VALUES (1, ${T0}), (2, ${T0 + 8 * MINUTE_MS});
        INSERT INTO piece VALUES (4096, zeroblob(200000)), (4097, zeroblob(9)), (8192, zeroblob(200000))`);
    });
    const store = open(MIB, new TestClock(T0 + 11 * MINUTE_MS));
    const pieces = (): unknown[] => withDatabase((db) => db.prepare("SELECT id FROM piece").all());
    while (pieces().length > 1) await new Promise((resolve) => setImmediate(resolve));
    expect(pieces()).toEqual([{ id: 8192 }]);
    await store.close();
  });
});

describe("the embedded store survives", () => {
  it.each([1, 2, 3])(
    "kill -9 of a process that is writing: what it said is there, whole (%i)",
    async (round) => {
      const child = startWriter("killed", 1_000_000);
      let acknowledged = 0;
      for await (const line of createInterface({ input: child.stdout! })) {
        acknowledged = Number(line.split(" ")[0]);
        // With no regard to where in its next write it is by now.
        if (acknowledged >= 10 * round) child.kill("SIGKILL");
      }
      expectIntact();
      const store = open();
      const { head, entry } = readNow(store, "killed");
      expect(head!.generation).toBeGreaterThanOrEqual(acknowledged);
      await expectWhole(store, entry);
      expect(await store.write(changeOf("killed", "json", 1e9, Buffer.from("on it goes"), 0))).toBe(
        "written",
      );
    },
  );

  it("a file that is no database: it is put aside and told, and a fresh one begun", async () => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(
      file,
      "this is no database, but it is long enough to look like something at least".repeat(100),
    );
    const store = open(MIB, new TestClock(T0));
    expect(survived).toEqual(["store: file put aside (corrupt)"]);
    expect(existsSync(`${file}.corrupt-${T0}`)).toBe(true);
    expect(await store.write(changeOf("fresh", "json", 1, Buffer.from("x")))).toBe("written");
  });

  it("a file of before the change feed: its table is added, and everything else is still there", async () => {
    await open().write(changeOf("kept", "json", 1, Buffer.from("kept")));
    await opened.pop()!.close();
    withDatabase((db) => db.exec("DROP TABLE feed"));
    const store = open();
    expect(readNow(store, "kept").entry).toBeDefined();
    expect(await store.readFeed()).toBeUndefined();
    expect(survived).toEqual([]);
  });

  it.each(["PRAGMA user_version = 99", "PRAGMA application_id = 1"])(
    "a file of others: after %s",
    async (pragma) => {
      await open().close();
      withDatabase((db) => db.exec(pragma));
      const store = open(MIB, new TestClock(T0));
      expect(survived).toHaveLength(1);
      expect(readdirSync(dirname(file)).filter((name) => /\.version-(99|-1)-\d+$/.test(name))).toHaveLength(
        1,
      );
      expect(await store.write(changeOf("fresh", "json", 1, Buffer.from("x")))).toBe("written");
    },
  );

  it("a file that turns out to be corrupt while it is in use", async () => {
    const before = open(MIB);
    for (let i = 0; i < 50; i += 1)
      await before.write(changeOf(`group-${i}`, "json", 1, Buffer.alloc(9_000, i)));
    await before.close();
    const { size } = statSync(file);
    // Everything but the first page, which has the header: it opens like a good one.
    withFile((bytes) => bytes.fill(0xa5, 8192, size));
    let failures = 0;
    let outcome: unknown;
    for (let tries = 0; tries < 5 && outcome !== "written"; tries += 1) {
      try {
        outcome = await (opened.at(-1) === before ? open(MIB) : opened.at(-1)!).write(
          changeOf("after", "json", 1, Buffer.from("x")),
        );
      } catch {
        failures += 1;
      }
    }
    expect(outcome).toBe("written");
    expect(failures).toBeLessThanOrEqual(1);
    expect(survived).toContain("store: file put aside (corrupt)");
    expect(readdirSync(dirname(file)).some((name) => name.startsWith(`${basename(file)}.corrupt-`))).toBe(
      true,
    );
  });

  it("its file being removed under it", async () => {
    const store = open();
    await store.write(changeOf("before", "json", 1, Buffer.from("x")));
    rmSync(dirname(file), { recursive: true });
    const writes = [1, 2].map(
      async (generation) => await store.write(changeOf("after", "json", generation, Buffer.from("y"), 0)),
    );
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.at(-1)).toMatchObject({ value: "written" });
    await store.close();
    expect(readNow(open(), "after").head?.generation).toBe(2);
  });
});

it("opens a file of 100,000 entries in under a second", async () => {
  await open().close();
  withDatabase((db) => {
    const json = JSON.stringify(entryOf("group", "json", 1, Buffer.from("x")));
    db.exec("BEGIN");
    db.prepare(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
       INSERT INTO entry (grp, name, generation, digest, body, bytes, used_at, json)
       SELECT 'group-' || (i / 10), 'name-' || i, 1, 'digest', NULL, 0, ${T0}, ? FROM n`,
    ).run(json);
    db.exec("COMMIT");
  });
  const startedAt = performance.now();
  const store = open(10_000 * MIB);
  expect(now(store.size()).entries).toBe(100_000);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

function startWriter(group: string, count: number): ChildProcess {
  const script = fileURLToPath(new URL("embedded-writer.ts", import.meta.url));
  return spawn(process.execPath, [script, file, group, String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function expectWhole(store: Store, entry: Entry | undefined): Promise<void> {
  const body = await store.readBody(entry!);
  expect(body === undefined ? undefined : digestOf(body)).toBe(entry!.digest);
}

function withDatabase<T>(work: (db: DatabaseSync) => T): T {
  const db = new DatabaseSync(file, { timeout: 1_000 });
  try {
    return work(db);
  } finally {
    db.close();
  }
}

function expectIntact(): void {
  withDatabase((db) => {
    expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    const sums = db.prepare("SELECT count(*) AS entries, total(bytes) AS bytes FROM entry").get();
    expect(db.prepare("SELECT entries, bytes FROM tally").get()).toEqual(sums);
  });
}

function withFile(change: (bytes: Buffer) => void): void {
  const bytes = Buffer.from(readFileSync(file));
  change(bytes);
  writeFileSync(file, bytes);
}
