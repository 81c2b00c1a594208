import { describe, expect, it } from "vitest";
import { inSlices } from "../src/event-loop.ts";

function* work(slices: number, onSlice: () => void = () => undefined): Generator<undefined, string> {
  for (let i = 0; i < slices; i++) {
    onSlice();
    yield;
  }
  return "done";
}

describe("inSlices", () => {
  it("answers at once when the work never yields", () => {
    expect(inSlices(work(0))).toBe("done");
  });

  it("answers later when it does", async () => {
    const answer = inSlices(work(3));
    expect(answer).toBeInstanceOf(Promise);
    await expect(answer).resolves.toBe("done");
  });

  it("throws at once before the first yield, and rejects after it", async () => {
    const failing = function* (slices: number): Generator<undefined, string> {
      yield* work(slices);
      throw new Error("no more");
    };
    expect(() => inSlices(failing(0))).toThrow("no more");
    await expect(Promise.resolve(inSlices(failing(1)))).rejects.toThrow("no more");
  });

  it("runs one slice in a turn of the event loop, however many works there are", async () => {
    let slices = 0;
    let most = 0;
    let running = true;
    const answers = Array.from({ length: 10 }, () => Promise.resolve(inSlices(work(20, () => slices++))));
    const watch = () => {
      most = Math.max(most, slices);
      slices = 0;
      if (running) setImmediate(watch);
    };
    slices = 0; // those before the first yield ran at once
    setImmediate(watch);
    await Promise.all(answers);
    running = false;
    expect(most).toBe(1);
  });
});
