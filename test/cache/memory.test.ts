import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Memory } from "../../src/cache/memory.ts";
import { entryWith, headWith } from "./entries.ts";

const representation = (bytes: number) => ({ etag: '"r"', fields: [], body: Buffer.alloc(bytes) });

describe("Memory", () => {
  it("finds what was put, and what the group's newest head is", () => {
    const memory = new Memory(1e6);
    memory.put(headWith(), entryWith(), Buffer.from("body"), 0, true);
    memory.put(
      headWith({ generation: 12 }),
      entryWith({ name: "json/1.0", generation: 12 }),
      undefined,
      0,
      true,
    );
    expect(memory.find("demo", "json")).toMatchObject({
      head: { generation: 12 },
      held: { entry: { generation: 10 } },
    });
    expect(memory.find("demo", "absent")).toBeUndefined();
  });

  it("follows an alias to the entry with the body, while both are of one generation", () => {
    const memory = new Memory(1e6);
    memory.put(headWith(), entryWith({ name: "json/1.0" }), Buffer.from("body"), 0, true);
    memory.put(headWith(), entryWith({ name: "json/1.0.0", aliasOf: "json/1.0" }), undefined, 0, true);
    expect(memory.find("demo", "json/1.0.0")?.held.entry.name).toBe("json/1.0");
    memory.put(
      headWith({ generation: 11 }),
      entryWith({ name: "json/1.0", generation: 11 }),
      Buffer.from("newer"),
      0,
      true,
    );
    expect(memory.find("demo", "json/1.0.0")).toBeUndefined();
  });

  it("keeps what was made ready through a 304, and drops it with another body", () => {
    const memory = new Memory(1e6);
    const held = memory.put(headWith(), entryWith(), Buffer.from("body"), 0, true);
    memory.keepRepresentation(held, "gzip", representation(10));
    expect(
      memory.put(headWith(), entryWith({ confirmedAt: 5 }), undefined, 0, true).representations.size,
    ).toBe(1);
    expect(
      memory.put(headWith(), entryWith({ digest: "other" }), undefined, 0, true).representations.size,
    ).toBe(0);
  });

  it("lets go of a body that the store has, once something was made of it, and of no other", () => {
    const memory = new Memory(1e6);
    const made = (isStored: boolean): Buffer | undefined => {
      const held = memory.put(headWith(), entryWith(), Buffer.from("body"), 0, isStored);
      memory.keepRepresentation(held, "gzip", representation(10));
      return memory.find("demo", "json")?.held.body;
    };
    expect(made(true)).toBeUndefined();
    // Fetched again, for the store had lost it, and did not take it again.
    expect(made(false)).toEqual(Buffer.from("body"));
    expect(made(true)).toBeUndefined();
  });

  it("counts truly where what is made of the oldest pushes it out", () => {
    const memory = new Memory(10_000_000);
    const put = (name: string, bytes: number) =>
      memory.put(headWith(), entryWith({ name, digest: name }), Buffer.alloc(bytes), 0, true);
    const oldest = put("a", 2_000_000);
    for (const name of ["b", "c", "d", "e"]) put(name, 1_900_000);
    memory.keepRepresentation(oldest, "k", representation(2_450_000));
    for (const name of ["a", "b", "c", "d", "e"]) memory.drop("demo", name);
    expect(memory.size()).toEqual({ entries: 0, bytes: 0 });
  });

  it("drops the least recently used first", () => {
    const memory = new Memory(40_000);
    for (const name of ["a", "b", "c", "d"])
      memory.put(headWith(), entryWith({ name, digest: name }), Buffer.alloc(8_000), 0, true);
    memory.find("demo", "a");
    memory.put(headWith(), entryWith({ name: "e", digest: "e" }), Buffer.alloc(8_000), 0, true);
    expect(memory.find("demo", "a")).toBeDefined();
    expect(memory.find("demo", "b")).toBeUndefined();
  });

  it("does not let one document push out all others", () => {
    const memory = new Memory(40_000);
    memory.put(headWith(), entryWith({ name: "small", digest: "s" }), Buffer.alloc(100), 0, true);
    const large = memory.put(
      headWith(),
      entryWith({ name: "large", digest: "l" }),
      Buffer.alloc(30_000),
      0,
      true,
    );
    expect(large.body).toHaveLength(30_000);
    expect(memory.find("demo", "small")).toBeDefined();
    expect(memory.find("demo", "large")).toBeUndefined();
  });

  it("does not grow with the hosts that clients invent", () => {
    const memory = new Memory(1e9);
    const held = memory.put(headWith(), entryWith(), Buffer.from("body"), 0, true);
    for (let host = 0; host < 1_000; host++)
      memory.keepRepresentation(held, `gzip http://h${host}`, representation(1_000));
    expect(held.representations.size).toBeLessThanOrEqual(12);
    expect(memory.size().bytes).toBeLessThan(30_000);
  });

  it("tells once what was used since it was last asked", () => {
    const memory = new Memory(1e6);
    memory.put(headWith(), entryWith(), undefined, 0, true);
    expect(memory.takeUsed()).toEqual([]);
    memory.find("demo", "json");
    expect(memory.takeUsed().map((entry) => entry.name)).toEqual(["json"]);
    expect(memory.takeUsed()).toEqual([]);
  });

  it("never holds more than its bound, and counts truly, whatever is done to it", () => {
    const action = fc.record({
      name: fc.constantFrom("a", "b", "c", "d", "e"),
      digest: fc.constantFrom("1", "2"),
      body: fc.option(fc.nat(9_000), { nil: undefined }),
      representation: fc.option(fc.nat(9_000), { nil: undefined }),
      drop: fc.boolean(),
      isStored: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const memory = new Memory(40_000);
        for (const { name, digest, body, representation: bytes, drop, isStored } of actions) {
          const held = memory.put(
            headWith(),
            entryWith({ name, digest }),
            body === undefined ? undefined : Buffer.alloc(body),
            0,
            isStored,
          );
          if (bytes !== undefined) memory.keepRepresentation(held, `key ${bytes % 3}`, representation(bytes));
          if (drop) memory.drop("demo", name);
          expect(memory.size().bytes).toBeLessThanOrEqual(40_000);
        }
        for (const name of ["a", "b", "c", "d", "e"]) memory.drop("demo", name);
        expect(memory.size()).toEqual({ entries: 0, bytes: 0 });
      }),
    );
  });
});
