import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { aloneFleet } from "../../src/fleet/alone.ts";
import { PLACE_MS } from "../../src/fleet/limiter.ts";
import { answerFleet } from "../../src/fleet/primary-fleet.ts";
import { workerFleet } from "../../src/fleet/worker-fleet.ts";
import { Desk, Line, PRIMARY } from "../../src/workers/channel.ts";
import type { Message } from "../../src/workers/message.ts";
import { TestClock } from "../support/clock.ts";

const LIMITS = { places: 1, perSecond: Infinity, burst: Infinity };

/** A worker and its primary on one line, which can stand still in the direction of the primary. */
function startPair() {
  const clock = new TestClock();
  const desk = new Desk();
  answerFleet({ desk, onGone: () => undefined }, LIMITS, clock);
  let unread: Message[] | undefined;
  const primary: Line = new Line({
    desk,
    clock,
    peer: 1,
    post: (message, sent) => {
      sent();
      queueMicrotask(() => worker.receive(message));
    },
  });
  const workerDesk = new Desk();
  const worker: Line = new Line({
    desk: workerDesk,
    clock,
    peer: PRIMARY,
    post: (message, sent) => {
      sent();
      if (unread === undefined) queueMicrotask(() => primary.receive(message));
      else unread.push(message);
    },
  });
  const fleet = workerFleet({ line: worker, desk: workerDesk }, clock, aloneFleet(LIMITS, clock));
  return {
    clock,
    limiter: fleet.limiter("index"),
    stop: () => void (unread = []),
    goOn: () => {
      const late = unread ?? [];
      unread = undefined;
      for (const message of late) primary.receive(message);
    },
  };
}

describe("the limiters of workers", () => {
  it("lose no place to a worker that had stopped waiting for a primary that stood still", async () => {
    const { clock, limiter, stop, goOn } = startPair();
    stop();
    const alone = limiter.enter(1_000);
    clock.advance(3_001);
    (await alone).end({ kind: "answered" });
    goOn(); // and lets in who does not wait any more
    await turn();
    const next = limiter.enter(60_000);
    await turn();
    for (let waitedMs = 0; waitedMs < 2 * PLACE_MS; waitedMs += 1_000) {
      clock.advance(1_000);
      await turn();
    }
    (await next).end({ kind: "answered" });
  });

  it("keep the place of who is still at it, however long that takes", async () => {
    const { clock, limiter } = startPair();
    const long = await limiter.enter(1_000);
    let isIn = false;
    const next = limiter.enter(3_600_000).then((pass) => {
      isIn = true;
      return pass;
    });
    for (let waitedMs = 0; waitedMs < 4 * PLACE_MS; waitedMs += 1_000) {
      clock.advance(1_000);
      await turn();
    }
    expect(isIn).toBe(false);
    long.end({ kind: "answered" });
    (await next).end({ kind: "answered" });
  });
});
