import { describe, expect, it } from "vitest";
import { Collapse } from "../../src/cache/collapse.ts";
import { TestClock } from "../support/clock.ts";

function failing(times: number) {
  const calls = { count: 0 };
  const work = async (): Promise<string> => {
    calls.count++;
    const mine = calls.count;
    await Promise.resolve();
    if (mine <= times) throw new Error(`failure ${mine}`);
    return "answer";
  };
  return { calls, work };
}

describe("Collapse", () => {
  it("makes one forward of a thousand requests", async () => {
    const flights = new Collapse<string>(new TestClock());
    const { calls, work } = failing(0);
    const joined = Array.from({ length: 1000 }, () => flights.join("key", work));
    expect(await Promise.all(joined.map((flight) => flight.result))).toEqual(Array(1000).fill("answer"));
    expect(calls.count).toBe(1);
    expect(joined.filter((flight) => !flight.collapsed)).toHaveLength(1);
    expect(flights.isUp("key")).toBe(false);
  });

  it("keeps keys apart, and flies again once the first has landed", async () => {
    const flights = new Collapse<string>(new TestClock());
    const { calls, work } = failing(0);
    await Promise.all([flights.join("a", work).result, flights.join("b", work).result]);
    await flights.join("a", work).result;
    expect(calls.count).toBe(3);
  });

  it("shares a failure once: then one follower tries again, and the others wait for that one", async () => {
    const flights = new Collapse<string>(new TestClock());
    const { calls, work } = failing(1);
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, () => flights.join("key", work).result),
    );
    expect(results[0]!.status).toBe("rejected");
    expect(results.slice(1).every((result) => result.status === "fulfilled")).toBe(true);
    expect(calls.count).toBe(2);
  });

  it("does not try for ever", async () => {
    const flights = new Collapse<string>(new TestClock());
    const { calls, work } = failing(1_000);
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, () => flights.join("key", work).result),
    );
    expect(results.every((result) => result.status === "rejected")).toBe(true);
    expect(calls.count).toBe(2);
  });

  it("does not let followers wait twice for an upstream that hangs", async () => {
    const clock = new TestClock();
    const flights = new Collapse<string>(clock);
    let calls = 0;
    const { promise, reject } = Promise.withResolvers<string>();
    const work = () => {
      calls++;
      return promise;
    };
    const joined = [flights.join("key", work).result, flights.join("key", work).result];
    clock.advance(8_000);
    reject(new Error("time-out"));
    await Promise.allSettled(joined);
    expect(calls).toBe(1);
  });
});
