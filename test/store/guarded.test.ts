import { beforeEach, describe, expect, it } from "vitest";
import { StoreUnavailable } from "../../src/errors.ts";
import { type GuardedStore, guard } from "../../src/store/guarded.ts";
import { type Found, SILENT, type Store, type Written } from "../../src/store/store.ts";
import { TestClock } from "../support/clock.ts";
import { changeOf, entryOf, headOf, T0 } from "./entries.ts";

const BUDGET_MS = 100;
const SKIP_MS = 1_000;

/** A store that does as it is told: `good`, `broken` (throws), `rejecting` (later), `hanging` (never answers). */
class MoodyStore implements Store {
  mood: "good" | "broken" | "rejecting" | "hanging" = "good";
  isFull = false;
  calls: string[] = [];
  found: Found = { head: headOf(3), entry: entryOf("group", "json", 3, Buffer.from("x")) };

  #answer<T>(call: string, value: T): T | Promise<T> {
    this.calls.push(call);
    if (this.mood === "broken") throw new Error("broken store");
    if (this.mood === "rejecting") return Promise.reject(new Error("broken store"));
    if (this.mood === "hanging") return new Promise<T>(() => undefined);
    return value;
  }

  read = () => this.#answer("read", this.found);
  readBody = () => this.#answer<Buffer | undefined>("readBody", Buffer.from("x"));
  write = () => {
    if (this.isFull) throw new Error("OOM");
    return this.#answer<Written>("write", "written");
  };
  touch = () => this.#answer("touch", undefined);
  remove = () => this.#answer("remove", undefined);
  advance = () => this.#answer("advance", undefined);
  readFeed = () => this.#answer("readFeed", undefined);
  writeFeed = () => this.#answer<Written>("writeFeed", "written");
  size = () => this.#answer("size", { entries: 1, bytes: 1 });
  close = () => undefined;
}

let inner: MoodyStore;
let clock: TestClock;
let store: GuardedStore;
let survived: string[];
let recovered: [string, number][];

beforeEach(() => {
  inner = new MoodyStore();
  clock = new TestClock(T0);
  survived = [];
  recovered = [];
  store = guard(inner, {
    budgetMs: BUDGET_MS,
    clock,
    onSurvived: (what, key, error) => void survived.push(`${what} ${key} ${(error as Error).message}`),
    onRecovered: (what, downForMs) => void recovered.push([what, downForMs]),
  });
});

const change = changeOf("group", "json", 3, Buffer.from("x"));
const entry = entryOf("group", "json", 3, Buffer.from("x"));

describe("a guarded store that is well", () => {
  it("answers without a promise what the store answers without one", () => {
    expect(store.read("group", "json")).toBe(inner.found);
    expect(store.readBody(entry)).toEqual(Buffer.from("x"));
    expect(store.write(change)).toBe("written");
    expect(store.touch([])).toBeUndefined();
    expect(store.remove("group")).toBeUndefined();
    expect(store.size()).toEqual({ entries: 1, bytes: 1 });
    expect(clock.pending).toEqual([]);
  });

  it("is up, since it was made", () => {
    clock.advance(5);
    expect(store.state()).toEqual({ is: "up", since: T0, lastError: undefined });
  });
});

describe.each(["broken", "rejecting", "hanging"] as const)("a guarded store that is %s", (mood) => {
  /** Asks, and lets the budget pass. */
  async function after<T>(answer: T | Promise<T>): Promise<T> {
    if (mood === "hanging" && answer instanceof Promise) clock.advance(BUDGET_MS);
    return await answer;
  }

  beforeEach(() => {
    inner.mood = mood;
  });

  it("finds nothing, writes nothing and throws nothing", async () => {
    expect(await after(store.read("group", "json"))).toEqual(SILENT);
    expect(await after(store.write(change))).toBe("failed");
    await after(store.touch([]));
    expect(inner.calls).toEqual(["read", "write", "touch"]);
    clock.advance(SKIP_MS);
    expect(await after(store.readBody(entry))).toBeUndefined();
    clock.advance(SKIP_MS);
    expect(await after(store.size())).toEqual({ entries: 0, bytes: 0 });
  });

  it("is left alone for a second, then tried by one call at a time", async () => {
    await after(store.read("group", "json"));
    expect(store.read("group", "json")).toBe(SILENT);
    clock.advance(SKIP_MS - 1);
    expect(store.read("group", "json")).toBe(SILENT);
    expect(inner.calls).toHaveLength(1);
    clock.advance(1);
    const probe = store.read("group", "json");
    expect(store.read("group", "json")).toBe(SILENT);
    await after(probe);
    expect(inner.calls).toHaveLength(2);
    expect(store.read("group", "json")).toBe(SILENT);
    expect(inner.calls).toHaveLength(2);
  });

  it("tells of it once, and once when it is over, and recovers by itself", async () => {
    await after(store.read("group", "json"));
    clock.advance(SKIP_MS);
    await after(store.read("group", "json"));
    const message = mood === "hanging" ? "no answer within 100 ms" : "broken store";
    expect(survived).toEqual([`store: read group ${message}`]);
    expect(store.state()).toMatchObject({ is: "down", lastError: message });
    const { since } = store.state();
    inner.mood = "good";
    clock.advance(SKIP_MS);
    expect(await store.read("group", "json")).toBe(inner.found);
    expect(recovered).toEqual([["store: read", clock.now() - since]]);
    expect(store.state()).toEqual({ is: "up", since: clock.now(), lastError: undefined });
    await store.read("group", "json");
    expect(survived).toHaveLength(1);
  });

  it("says so when what the change feed told could not be stored, or its position not read", async () => {
    for (const call of [
      () => store.advance(new Map([["group", 4]]), T0),
      () => store.readFeed(),
      () => store.writeFeed({ serial: 1, asOf: T0, followedSince: T0, fence: 1 }),
    ]) {
      const asked = (async () => await call())();
      if (mood === "hanging") clock.advance(BUDGET_MS * 20 + 1);
      await expect(asked).rejects.toBeInstanceOf(StoreUnavailable);
    }
    expect(inner.calls).toEqual(["advance", "readFeed", "writeFeed"]);
  });

  it("says so when a group could not be removed, and is asked for it even while it is down", async () => {
    await after(store.read("group", "json"));
    const removal = (async () => await store.remove("group"))();
    const outcome = expect(removal).rejects.toThrow(StoreUnavailable);
    clock.advance(20 * BUDGET_MS);
    await outcome;
    expect(inner.calls).toEqual(["read", "remove"]);
  });
});

describe("the budget", () => {
  it("is 100 ms to the millisecond for what is small", async () => {
    inner.mood = "hanging";
    let answered = false;
    const reading = Promise.resolve(store.read("group", "json")).then(() => (answered = true));
    clock.advance(BUDGET_MS - 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    clock.advance(1);
    await reading;
  });

  it("has a millisecond more for each 50 kB of a body", () => {
    inner.mood = "hanging";
    void store.readBody({ ...entry, bytes: 30_000_000 });
    expect(clock.pending).toEqual([BUDGET_MS + 600]);
  });

  it("is not held against a store whose answer has come while our own loop was busy", async () => {
    let answer: (found: Found) => void = () => undefined;
    inner.read = () => new Promise((resolve) => (answer = resolve));
    const reading = store.read("group", "json");
    clock.advance(BUDGET_MS); // the timer fires first, as it does after a long pause …
    answer(inner.found); // … and what is in the socket is read in the same turn
    expect(await reading).toBe(inner.found);
  });
});

it("goes on reading from a store that is full, and not writing to it", () => {
  inner.isFull = true;
  expect(store.write(change)).toBe("failed");
  expect(store.read("group", "json")).toBe(inner.found);
  expect(store.state()).toMatchObject({ is: "down", lastError: "OOM" });
  expect(store.write(change)).toBe("failed");
  expect(inner.calls).toEqual(["read"]);
});

it("does not take an answer to an older call for a recovery", async () => {
  let answer: (found: Found) => void = () => undefined;
  inner.read = () => new Promise((resolve) => (answer = resolve));
  const early = store.read("group", "json");
  inner.read = () => {
    throw new Error("broken store");
  };
  void store.read("group", "json");
  answer(inner.found);
  expect(await early).toBe(inner.found);
  expect(store.state().is).toBe("down");
});
