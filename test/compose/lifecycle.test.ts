import { expect, it } from "vitest";
import { every } from "../../src/compose/lifecycle.ts";
import { TestClock } from "../support/clock.ts";

it("what is done again and again is done one at a time, and who stops it can wait for what is under way", async () => {
  const clock = new TestClock();
  const works: PromiseWithResolvers<undefined>[] = [];
  const stop = every(clock, 1_000, () => {
    const work = Promise.withResolvers<undefined>();
    works.push(work);
    return work.promise;
  });
  clock.advance(1_000);
  clock.advance(5_000);
  expect(works).toHaveLength(1);
  works[0]!.resolve(undefined);
  await expect.poll(() => clock.pending.length).toBe(1);
  clock.advance(1_000);
  expect(works).toHaveLength(2);
  let hasEnded = false;
  const ended = stop().then(() => (hasEnded = true));
  await Promise.resolve();
  expect(hasEnded).toBe(false);
  works[1]!.resolve(undefined);
  await ended;
  expect(clock.pending).toEqual([]);
});

it("where nothing is under way has nothing to wait for", async () => {
  const clock = new TestClock();
  await every(clock, 1_000, () => Promise.reject(new Error("too late")))();
  clock.advance(5_000);
});
