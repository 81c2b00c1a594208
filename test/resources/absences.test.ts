import { describe, expect, it } from "vitest";
import { Absences } from "../../src/resources/absences.ts";
import { TestClock } from "../support/clock.ts";

describe("an absence", () => {
  it("is believed for its time, and for no longer than that where the clock is set back", () => {
    const clock = new TestClock();
    const absences = new Absences(clock, 60_000);
    expect(absences.leftMs("/a")).toBe(0);
    absences.note("/a");
    clock.advance(20_000);
    expect([absences.leftMs("/a"), absences.leftMs("/b")]).toEqual([40_000, 0]);
    clock.advance(-3_600_000);
    expect(absences.leftMs("/a")).toBe(0);
    clock.advance(3_600_000 + 40_000);
    expect(absences.leftMs("/a")).toBe(0);
    absences.note("/a");
    expect(absences.leftMs("/a")).toBe(60_000);
  });
});
