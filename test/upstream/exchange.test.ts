import { setImmediate as nextTurn } from "node:timers/promises";
import { Agent } from "undici";
import { describe, expect, it, onTestFinished } from "vitest";
import { exchange, discard, type Exchange } from "../../src/upstream/exchange.ts";
import { TestClock } from "../support/clock.ts";
import { startUpstream, type FakeUpstream } from "../support/upstream.ts";
import { failureOf } from "./pair.ts";

const PATH = "/pypi/big/json";
const HOUR_MS = 3_600_000;

async function start(
  bodyBytes: number,
): Promise<{ fake: FakeUpstream; clock: TestClock; open: () => Promise<Exchange> }> {
  const fake = await startUpstream();
  fake.project("big", { body: Buffer.alloc(bodyBytes, "x") });
  const dispatcher = new Agent();
  const clock = new TestClock();
  onTestFinished(async () => {
    await dispatcher.destroy();
    await fake.close();
  });
  const limits = { firstByteMs: 1_000, betweenBytesMs: 1_000, deadlineAt: undefined };
  const open = () => exchange({ dispatcher, clock, origin: fake.url, path: PATH, headers: {}, ...limits });
  return { fake, clock, open };
}

async function lengthOf(body: AsyncIterable<Buffer>): Promise<number> {
  let length = 0;
  for await (const chunk of body) length += chunk.length;
  return length;
}

describe("the body of an exchange", () => {
  it("may be read as slowly as its reader likes: only upstream is timed", async () => {
    const { clock, open } = await start(8_000_000);
    const { body } = await open();
    while (clock.pending.length > 0) await nextTurn();
    expect(body.readableLength).toBeLessThan(1_000_000);
    clock.advance(HOUR_MS);
    expect(await lengthOf(body)).toBe(8_000_000);
  });

  it("is timed again as soon as the reader waits for upstream", async () => {
    const { fake, clock, open } = await start(8_000_000);
    fake.fault({ kind: "hang-in-body", afterBytes: 65_536 }); // as much as is buffered, and nothing behind it
    const { body } = await open();
    while (clock.pending.length > 0) await nextTurn();
    const reading = failureOf(lengthOf(body));
    await clock.untilPending(1);
    clock.advance(1_000);
    expect(await reading).toMatchObject({ failure: "between-bytes-timeout" });
  });

  it("takes its connection with it when the reader does not want the rest", async () => {
    const { fake, clock, open } = await start(8_000_000);
    const { body } = await open();
    body.destroy();
    await fake.requests[0]?.closed;
    expect(clock.pending).toEqual([]);
  });

  it("takes its connection with it when it is discarded and long", async () => {
    const { fake, open } = await start(8_000_000);
    fake.fault({ kind: "hang-in-body" });
    discard((await open()).body);
    await fake.requests[0]?.closed;
  });

  it("leaves no timer behind at its end", async () => {
    const { clock, open } = await start(1_000);
    expect(await lengthOf((await open()).body)).toBe(1_000);
    expect(clock.pending).toEqual([]);
  });

  it("that fails before anybody reads it fails its reader, not the process", async () => {
    const { fake, clock, open } = await start(1_000);
    fake.fault({ kind: "hang-after-head" });
    const { body } = await open();
    clock.advance(1_000);
    await nextTurn();
    expect(await failureOf(lengthOf(body))).toMatchObject({ failure: "between-bytes-timeout" });
  });
});
