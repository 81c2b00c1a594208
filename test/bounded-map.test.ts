import { describe, expect, it } from "vitest";
import { BoundedMap } from "../src/bounded-map.ts";

describe("a bounded map", () => {
  it("lets go of what was set the longest ago", () => {
    const map = new BoundedMap<string, number>(2);
    map.set("a", 1).set("b", 2).set("c", 3);
    expect([...map]).toEqual([
      ["b", 2],
      ["c", 3],
    ]);
  });

  it("lets go of nothing for a key that it has, which becomes the youngest", () => {
    const map = new BoundedMap<string | undefined, number>(2);
    map.set(undefined, 1).set("b", 2).set(undefined, 3);
    expect([...map.keys()]).toEqual(["b", undefined]);
    map.set("c", 4);
    expect([...map.keys()]).toEqual([undefined, "c"]);
  });
});
