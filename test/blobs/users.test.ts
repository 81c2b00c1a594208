import { describe, expect, it } from "vitest";
import { Users } from "../../src/blobs/users.ts";

describe("what several use", () => {
  it("is closed once, when the last of them leaves, whoever says twice that he left", () => {
    let closed = 0;
    const users = new Users(() => closed++);
    const [first, second] = [users.enter(), users.enter()];
    first();
    first();
    expect(closed).toBe(0);
    second();
    second();
    expect(closed).toBe(1);
  });
});
