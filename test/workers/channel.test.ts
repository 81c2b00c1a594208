import { beforeEach, describe, expect, it } from "vitest";
import { NoReply } from "../../src/errors.ts";
import { Desk, Line, op, PRIMARY } from "../../src/workers/channel.ts";
import { TestClock } from "../support/clock.ts";

const ADD = op<{ a: number; b: number }, number>("add");
const NEWS = op<{ text: string }>("news");

let clock: TestClock;
let primary: { desk: Desk; lines: Map<number, Line> };

beforeEach(() => {
  clock = new TestClock();
  primary = { desk: new Desk(), lines: new Map() };
});

/** A worker whose messages go through JSON, as between processes. */
function connect(id: number): { desk: Desk; line: Line } {
  const desk = new Desk();
  const over = (receive: (message: unknown) => void) => (message: unknown, sent: () => void) => {
    const wire = JSON.stringify(message);
    queueMicrotask(() => {
      sent();
      receive(JSON.parse(wire));
    });
  };
  const line: Line = new Line({
    desk,
    clock,
    peer: PRIMARY,
    post: over((message) => primary.lines.get(id)?.receive(message)),
  });
  primary.lines.set(
    id,
    new Line({
      desk: primary.desk,
      clock,
      peer: id,
      post: over((message) => line.receive(message)),
      relay: (name, payload, from) => {
        for (const [other, to] of primary.lines) if (other !== from) to.tellNamed(name, payload, from);
      },
    }),
  );
  return { desk, line };
}

describe("the channel", () => {
  it("answers calls in both directions, and tells who asked", async () => {
    const [one, two] = [connect(1), connect(2)];
    const askers: number[] = [];
    primary.desk.answer(ADD, ({ a, b }, from) => {
      askers.push(from);
      return a + b;
    });
    two.desk.answer(ADD, ({ a, b }) => Promise.resolve(a * 100 + b));
    expect(
      await Promise.all([one.line.call(ADD, { a: 1, b: 2 }, 10), two.line.call(ADD, { a: 3, b: 4 }, 10)]),
    ).toEqual([3, 7]);
    expect(await primary.lines.get(2)?.call(ADD, { a: 5, b: 6 }, 10)).toBe(506);
    expect(askers).toEqual([1, 2]);
  });

  it("hands a failure to who asked, and goes on", async () => {
    const { line } = connect(1);
    await expect(line.call(ADD, { a: 1, b: 2 }, 10)).rejects.toThrow(new NoReply("add: nobody answers that"));
    primary.desk.answer(ADD, () => {
      throw new RangeError("too much");
    });
    await expect(line.call(ADD, { a: 1, b: 2 }, 10)).rejects.toThrow(new NoReply("too much"));
    primary.desk.answer(ADD, ({ a, b }) => a + b);
    expect(await line.call(ADD, { a: 1, b: 2 }, 10)).toBe(3);
  });

  it("tells all others, not oneself, and says from whom it comes", async () => {
    const workers = [connect(1), connect(2), connect(3)];
    const heard: unknown[] = [];
    for (const [i, { desk }] of workers.entries()) {
      desk.hear(NEWS, ({ text }, from) => heard.push([i + 1, text, from]));
    }
    workers[1]?.line.tellOthers(NEWS, { text: "hear" });
    await expect.poll(() => heard).toHaveLength(2);
    expect(heard).toEqual([
      [1, "hear", 2],
      [3, "hear", 2],
    ]);
  });

  it("is heard no more by who wants to hear no more", async () => {
    const { line } = connect(1);
    const heard: string[] = [];
    const stop = primary.desk.hear(NEWS, ({ text }) => heard.push(text));
    primary.desk.hear(NEWS, ({ text }) => heard.push(text.toUpperCase()));
    line.tell(NEWS, { text: "a" });
    await expect.poll(() => heard).toEqual(["a", "A"]);
    stop();
    line.tell(NEWS, { text: "b" });
    await expect.poll(() => heard).toEqual(["a", "A", "B"]);
  });

  it("waits no longer than was said, and takes no late answer for another's", async () => {
    const { line } = connect(1);
    const answers: ((sum: number) => void)[] = [];
    primary.desk.answer(ADD, () => new Promise<number>((resolve) => answers.push(resolve)));
    const first = line.call(ADD, { a: 1, b: 2 }, 50);
    await expect.poll(() => answers).toHaveLength(1);
    clock.advance(49);
    const second = line.call(ADD, { a: 3, b: 4 }, 50);
    await expect.poll(() => answers).toHaveLength(2);
    clock.advance(1);
    await expect(first).rejects.toThrow(new NoReply("add: no answer within 50 ms"));
    answers[0]?.(3);
    answers[1]?.(7);
    expect(await second).toBe(7);
    expect(clock.pending).toEqual([]);
  });

  it("fails every call when the other process is gone, those under way and those to come", async () => {
    const { line } = connect(1);
    primary.desk.answer(ADD, () => new Promise<number>(() => undefined));
    const calls = [line.call(ADD, { a: 1, b: 2 }, 1_000), line.call(ADD, { a: 1, b: 2 }, 1_000)];
    let told = 0;
    line.onGone(() => (told += 1));
    line.gone();
    line.gone();
    for (const call of calls) await expect(call).rejects.toThrow(NoReply);
    await expect(line.call(ADD, { a: 1, b: 2 }, 1_000)).rejects.toThrow(NoReply);
    line.onGone(() => (told += 1));
    expect(told).toBe(2);
    expect(clock.pending).toEqual([]);
  });

  it("does not queue without end for a process that reads nothing", async () => {
    let posted = 0;
    const line = new Line({ desk: new Desk(), clock, peer: 1, post: () => (posted += 1) });
    for (let i = 0; i < 20_000; i += 1) line.tell(NEWS, { text: "x" });
    expect(posted).toBe(10_000);
    await expect(line.call(ADD, { a: 1, b: 2 }, 10)).rejects.toThrow(NoReply);
  });

  it.each([undefined, null, 7, "call", {}, { is: "other" }, { cmd: "x" }])("leaves %j alone", (message) => {
    expect(() => connect(1).line.receive(message)).not.toThrow();
  });
});
