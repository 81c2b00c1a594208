import { beforeEach, describe, expect, it } from "vitest";
import { Pool, type PoolEvent, type WorkerEnd, type WorkerProcess } from "../../src/workers/pool.ts";
import { TestClock } from "../support/clock.ts";

/** A worker that does what the test says. */
class FakeWorker implements WorkerProcess {
  readonly id: number;
  readonly pid: number;
  readonly up: Promise<void>;
  readonly ended: Promise<WorkerEnd>;
  state: "starting" | "up" | "draining" | "ended" = "starting";
  lingers: boolean | undefined;
  #begin = (): void => undefined;
  #end: (end: WorkerEnd) => void = () => undefined;

  constructor(id: number) {
    this.id = id;
    this.pid = 1_000 + id;
    this.up = new Promise((resolve) => (this.#begin = resolve));
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  begin(): void {
    this.state = "up";
    this.#begin();
  }

  end(code: number | undefined, signal?: string): void {
    this.state = "ended";
    this.#end({ code, signal });
  }

  drain(lingers: boolean): void {
    this.state = "draining";
    this.lingers = lingers;
  }

  kill(): void {
    this.end(undefined, "SIGKILL");
  }
}

let clock: TestClock;
let workers: FakeWorker[];
let events: PoolEvent[];
let pool: Pool;

beforeEach(() => {
  clock = new TestClock();
  workers = [];
  events = [];
  pool = new Pool({
    count: 2,
    clock,
    drainMs: 8_000,
    onEvent: (event) => events.push(event),
    fork: () => {
      const worker = new FakeWorker(workers.length + 1);
      workers.push(worker);
      return worker;
    },
  });
});

const states = (): string[] => workers.map(({ state }) => state);
const kinds = (): string[] => events.map(({ kind }) => kind);

/** Resolves when there are so many workers, the last of which is just starting. */
async function forked(count: number): Promise<FakeWorker> {
  await expect.poll(() => workers.length).toBe(count);
  return workers.at(-1)!;
}

async function startBoth(): Promise<void> {
  const starting = pool.start();
  (await forked(1)).begin();
  (await forked(2)).begin();
  expect(await starting).toBeUndefined();
}

describe("the pool of workers", () => {
  it("starts the first one alone, and tells how it ended where it never was up", async () => {
    const starting = pool.start();
    (await forked(1)).end(1);
    expect(await starting).toEqual({ code: 1, signal: undefined });
    expect(workers).toHaveLength(1);
    expect(clock.pending).toEqual([]);
  });

  it("replaces who dies: at once, then after pauses that grow, and at once again after a steady life", async () => {
    await startBoth();
    const pauses: number[] = [];
    for (let deaths = 1; deaths <= 5; deaths += 1) {
      workers.at(-1)?.end(1);
      await expect.poll(() => kinds().filter((kind) => kind === "lost")).toHaveLength(deaths);
      const { replacedInMs } = events.findLast((event) => event.kind === "lost")!;
      pauses.push(replacedInMs);
      clock.advance(replacedInMs - 1);
      if (replacedInMs > 0) expect(workers).toHaveLength(deaths + 1);
      clock.advance(1);
      expect(workers).toHaveLength(deaths + 2);
    }
    expect(pauses).toEqual([0, 250, 500, 1_000, 2_000]);
    workers.at(-1)?.begin();
    await expect.poll(() => pool.up).toBe(2);
    clock.advance(10_000);
    workers.at(-1)?.end(undefined, "SIGKILL");
    await expect
      .poll(() => events.at(-1))
      .toMatchObject({ kind: "lost", signal: "SIGKILL", replacedInMs: 0, up: 1 });
  });

  it("kills who does not begin to listen", async () => {
    await startBoth();
    workers[0]?.end(1);
    await expect.poll(kinds).toContain("lost");
    clock.advance(0);
    const late = await forked(3);
    clock.advance(29_999);
    expect(late.state).toBe("starting");
    clock.advance(1);
    expect(late.state).toBe("ended");
    await expect.poll(() => kinds().slice(-2)).toEqual(["killed", "lost"]);
  });

  it("rolls one by one: the old one drains only once the new one is up, the next only once it has ended", async () => {
    await startBoth();
    pool.roll();
    const third = await forked(3);
    expect(states()).toEqual(["up", "up", "starting"]);
    third.begin();
    await expect.poll(states).toEqual(["draining", "up", "up"]);
    expect(workers[0]?.lingers).toBe(true);
    expect(workers).toHaveLength(3);
    workers[0]?.end(0);
    (await forked(4)).begin();
    await expect.poll(states).toEqual(["ended", "draining", "up", "up"]);
    workers[1]?.end(0);
    await expect.poll(kinds).toContain("rolled");
    expect(kinds()).not.toContain("lost");
    expect(pool.up).toBe(2);
  });

  it("leaves the old ones when a new one does not come up", async () => {
    await startBoth();
    pool.roll();
    (await forked(3)).end(1);
    await expect
      .poll(() => events.at(-1))
      .toEqual({ kind: "roll-failed", id: 3, code: 1, signal: undefined });
    expect(states()).toEqual(["up", "up", "ended"]);
    pool.roll();
    (await forked(4)).begin();
    await expect.poll(states).toEqual(["draining", "up", "ended", "up"]);
  });

  it("rolls once more when asked to meanwhile, however often", async () => {
    await startBoth();
    pool.roll();
    pool.roll();
    pool.roll();
    for (let rolled = 0; rolled < 4; rolled += 1) {
      (await forked(3 + rolled)).begin();
      await expect.poll(() => workers[rolled]?.state).toBe("draining");
      workers[rolled]?.end(0);
    }
    await expect.poll(() => kinds().filter((kind) => kind === "rolled")).toHaveLength(2);
    expect(states()).toEqual(["ended", "ended", "ended", "ended", "up", "up"]);
  });

  it("has no one too many where an old one dies while its successor starts", async () => {
    await startBoth();
    pool.roll();
    const successor = await forked(3);
    workers[0]?.end(1);
    await expect.poll(kinds).toContain("lost");
    clock.advance(0);
    (await forked(4)).begin();
    successor.begin();
    await expect.poll(() => successor.state).toBe("draining");
    successor.end(0);
    (await forked(5)).begin();
    await expect.poll(() => workers[1]?.state).toBe("draining");
    workers[1]?.end(0);
    await expect.poll(kinds).toContain("rolled");
    expect(states().filter((state) => state === "up")).toHaveLength(2);
  });

  it("closes all, without lingering, kills who takes too long, and starts no more", async () => {
    await startBoth();
    pool.roll();
    const successor = await forked(3);
    const closed = pool.close();
    expect(states()).toEqual(["draining", "draining", "draining"]);
    expect(workers.map(({ lingers }) => lingers)).toEqual([false, false, false]);
    workers[0]?.end(0);
    successor.end(0);
    clock.advance(9_499);
    expect(workers[1]?.state).toBe("draining");
    clock.advance(1);
    await closed;
    expect(kinds()).toContain("killed");
    expect(kinds()).not.toContain("lost");
    clock.advance(60_000);
    expect(workers).toHaveLength(3);
  });

  it("does not replace who died just before all were to end", async () => {
    await startBoth();
    workers[0]?.end(1);
    await expect.poll(kinds).toContain("lost");
    const closed = pool.close();
    workers[1]?.end(0);
    await closed;
    clock.advance(60_000);
    expect(workers).toHaveLength(2);
  });
});
