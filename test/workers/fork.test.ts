import cluster from "node:cluster";
import { afterEach, expect, it, vi } from "vitest";
import { forker } from "../../src/workers/fork.ts";
import { Pool, type PoolEvent } from "../../src/workers/pool.ts";
import { Switchboard } from "../../src/workers/switchboard.ts";
import { TestClock } from "../support/clock.ts";

afterEach(() => void vi.restoreAllMocks());

it("a system without memory for another process is a worker that ended, not the end of the primary", async () => {
  const forked = vi.spyOn(cluster, "fork").mockImplementation(() => {
    throw Object.assign(new Error("spawn ENOMEM"), { code: "ENOMEM" });
  });
  const clock = new TestClock();
  const fork = forker(new Switchboard(clock), () => undefined);
  const events: PoolEvent[] = [];
  const pool = new Pool({ count: 1, fork, clock, drainMs: 1_000, onEvent: (event) => events.push(event) });
  const end = { code: undefined, signal: undefined, reason: "spawn ENOMEM" };
  expect(await pool.start()).toEqual(end);
  expect(pool.up).toBe(0);
  const ids = [fork().id, fork().id];
  expect(new Set(ids).size).toBe(2);
  expect(forked).toHaveBeenCalledTimes(3);
  expect(events).toEqual([]);
  await pool.close();
});
