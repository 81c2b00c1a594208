import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createChangelog } from "../../src/feed/changelog.ts";
import { Feed, type FeedEvent } from "../../src/feed/feed.ts";
import { LeaseTable } from "../../src/fleet/lease-table.ts";
import type { Leases } from "../../src/fleet/leases.ts";
import type { NewsItem } from "../../src/fleet/news.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import type { Store } from "../../src/store/store.ts";
import { changeOf } from "../store/entries.ts";
import { TestClock } from "../support/clock.ts";
import type { FakeUpstream } from "../support/upstream.ts";
import { startPair } from "../upstream/pair.ts";

const INTERVAL_MS = 50_000;
/** Longer than a lease lasts that is not renewed. */
const LEASE_MS = 75_000;

interface Node {
  readonly name: string;
  readonly feed: Feed;
  readonly store: Store;
  readonly events: FeedEvent[];
  readonly marked: string[];
}

let folder: string;
let clock: TestClock;
let table: LeaseTable;
let nodes: Node[];
let published: NewsItem[];
let changelog: ReturnType<typeof createChangelog>;
let fake: FakeUpstream;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "larder-feed-"));
  clock = new TestClock();
  table = new LeaseTable(clock);
  nodes = [];
  published = [];
  const pair = await startPair();
  fake = pair.fake;
  changelog = createChangelog(pair.upstream);
  // As of when it is asked, by the clock that the nodes have.
  const asked = changelog;
  changelog = {
    lastSerial: async () => ({ asOf: clock.now(), ...pick(await asked.lastSerial()) }),
    since: async (serial) => ({ asOf: clock.now(), ...pick(await asked.since(serial)) }),
  };
  fake.journal("demo", { serial: 10 });
});

afterEach(async () => {
  for (const { feed, store } of nodes) {
    await feed.close();
    await store.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

function pick<T>({ value, waitMs }: { value: T; waitMs: number }): { value: T; waitMs: number } {
  return { value, waitMs };
}

/** A node of a fleet: leases of one table, a view of one store. */
function joins(name: string, leases: Pick<LeaseTable, "leases"> = table): Node {
  const onSurvived = (what: string, _key: string, error: unknown): void => {
    throw new Error(what, { cause: error });
  };
  const file = join(folder, "larder.sqlite");
  const store = openEmbeddedStore({ file, maxBytes: 2 ** 26, clock, onSurvived });
  const events: FeedEvent[] = [];
  const marked: string[] = [];
  const feed = new Feed({
    changelog,
    store,
    leases: leases.leases(name),
    news: { publish: (item) => void published.push(item), subscribe: () => () => undefined },
    clock,
    intervalMs: INTERVAL_MS,
    ownCheckMs: 86_400_000,
    onMark: (group, generation) => void marked.push(`${group} ${generation}`),
    onEvent: (event) => void events.push(event),
    onSurvived,
  });
  const node = { name, feed, store, events, marked };
  nodes.push(node);
  feed.start();
  return node;
}

const leaders = () => nodes.filter(({ feed }) => feed.state().leads).map(({ name }) => name);
const kinds = ({ events }: Node) => events.map(({ kind }) => kind);

/** One interval, with a change in it, until all nodes have taken their turn. */
async function interval(project: string): Promise<void> {
  const serial = fake.journal(project);
  clock.advance(INTERVAL_MS);
  await expect.poll(() => nodes.map(({ feed }) => feed.state().serial).includes(serial)).toBe(true);
  await expect.poll(() => clock.pending.filter((ms) => ms === INTERVAL_MS).length).toBe(nodes.length);
}

describe("of several nodes", () => {
  it("one asks, and all know how far it has come", async () => {
    const first = joins("first");
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    const second = joins("second");
    await clock.untilTimer(INTERVAL_MS);
    await expect.poll(() => second.feed.state().serial).toBe(10);
    const asked = fake.count("/pypi");
    for (const project of ["a", "b", "c"]) await interval(project);
    clock.advance(INTERVAL_MS);
    await expect.poll(() => second.feed.state().serial).toBe(13);
    expect(leaders()).toEqual(["first"]);
    expect(fake.count("/pypi")).toBeLessThanOrEqual(asked + 5);
    expect([first.marked, second.marked]).toEqual([["a 11", "b 12", "c 13"], []]);
    expect(second.feed.word("demo")).toMatchObject({ followedSince: first.feed.state().followedSince });
    expect(published.slice(-4)).toContainEqual({ kind: "changed", group: "c" });
    expect(published.at(-1)).toEqual({ kind: "feed" });
  });

  it("another takes over where one ends, at once and from where it was left", async () => {
    const first = joins("first");
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    const { followedSince } = first.feed.state();
    const second = joins("second");
    await clock.untilPending(2);
    await first.feed.close();
    const serial = fake.journal("meanwhile");
    clock.advance(INTERVAL_MS);
    await expect.poll(leaders).toEqual(["second"]);
    await clock.untilTimer(1_000);
    clock.advance(1_000);
    await expect.poll(() => second.feed.state()).toMatchObject({ serial, followedSince });
    expect(second.marked).toEqual([`meanwhile ${serial}`]);
  });

  it("another takes over where one has died, once its lease has run out; and one that wakes up steps back", async () => {
    const first = joins("first");
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    const second = joins("second");
    await clock.untilPending(2);
    // Paused in the middle of a question: the answer comes when somebody else has gone on.
    const gate = fake.hold("/pypi");
    clock.advance(INTERVAL_MS);
    await fake.arrived(2, "/pypi");
    table.drop("first");
    fake.journal("late");
    clock.advance(LEASE_MS);
    await expect.poll(leaders).toContain("second");
    await fake.arrived(3, "/pypi");
    gate.release();
    await expect.poll(() => second.feed.state().serial).toBeDefined();
    await clock.untilTimer(1_000);
    for (let i = 0; i < 4; i++) {
      clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    clock.advance(INTERVAL_MS);
    await expect.poll(() => kinds(first)).toContain("lost");
    expect(leaders()).toEqual(["second"]);
    await expect.poll(() => second.marked).toContain("late 11");
  });

  it("another takes over within a beat and a little of the last renewal of one that has died", async () => {
    let isDead = false;
    // Whoever is dead renews nothing, and knows nothing of it.
    const mortal = {
      leases: (holder: string): Leases => ({
        ...table.leases(holder),
        acquire: async (key, lengthMs) => {
          const turn = await table.leases(holder).acquire(key, lengthMs);
          return turn.kind === "taken"
            ? turn
            : { ...turn, renew: () => (isDead ? Promise.resolve(true) : turn.renew()) };
        },
      }),
    };
    const first = joins("first", mortal);
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    const second = joins("second");
    await clock.untilPending(2);
    isDead = true;
    clock.advance(LEASE_MS);
    await clock.untilTimer(INTERVAL_MS);
    clock.advance(INTERVAL_MS);
    await expect.poll(() => second.feed.state().leads).toBe(true);
  });

  it("one keeps the lease while its question takes long", async () => {
    const first = joins("first");
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    joins("second");
    await clock.untilPending(2);
    const gate = fake.hold("/pypi");
    clock.advance(INTERVAL_MS);
    await fake.arrived(2, "/pypi");
    for (let passedMs = 0; passedMs < 3 * LEASE_MS; passedMs += 5_000) {
      clock.advance(5_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(leaders()).toEqual(["first"]);
    gate.release();
    await expect.poll(() => first.events.at(-1)).toMatchObject({ kind: "asked" });
    expect(kinds(first)).not.toContain("lost");
  });

  it("one steps back where leases are in trouble and two have led: by the fence of the position", async () => {
    const first = joins("first");
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    const second = joins("second", new LeaseTable(clock));
    await expect.poll(() => kinds(second)).toContain("asked");
    fake.journal("demo");
    clock.advance(INTERVAL_MS);
    await expect.poll(() => kinds(first)).toContain("lost");
    expect(kinds(second)).not.toContain("lost");
    expect(await second.store.readFeed()).toMatchObject({ serial: 11 });
  });

  it("a mark that the store has lost is there again after the next poll", async () => {
    const first = joins("first");
    const { store } = first;
    await expect.poll(() => first.feed.state()).toMatchObject({ leads: true, serial: 10 });
    await clock.untilTimer(INTERVAL_MS);
    await store.write(changeOf("demo", "json", 10, Buffer.from("x")));
    await interval("demo");
    expect((await store.read("demo", "json")).head?.generation).toBe(11);
    await store.remove("demo"); // as a failover of Redis may do to what came last
    await store.write(changeOf("demo", "json", 10, Buffer.from("x")));
    await interval("other");
    expect((await store.read("demo", "json")).head?.generation).toBe(11);
  });
});
