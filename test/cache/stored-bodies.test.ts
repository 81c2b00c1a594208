import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fillAlone, type Filled, type Resource } from "../../src/cache/fill.ts";
import { type HeldWithHead, Memory } from "../../src/cache/memory.ts";
import type { Loaded } from "../../src/cache/settle.ts";
import { Tiers } from "../../src/cache/tiers.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import type { Store } from "../../src/store/store.ts";
import { digestOf } from "../store/entries.ts";
import { TestClock } from "../support/clock.ts";

const BODY = Buffer.from("the only one there is");
const DATE = "Mon, 23 Nov 2026 12:00:00 GMT";

let folder: string;
let store: Store;
let takesWrites: boolean;
let clock: TestClock;
let memory: Memory;
let tiers: Tiers;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "larder-stored-"));
  clock = new TestClock(Date.now());
  const file = join(folder, "larder.sqlite");
  store = openEmbeddedStore({ file, maxBytes: 1 << 20, clock, onSurvived: () => undefined });
  takesWrites = true;
  const faulty: Store = Object.assign(Object.create(store) as Store, {
    write: (change: Parameters<Store["write"]>[0]) => (takesWrites ? store.write(change) : "failed"),
    read: store.read.bind(store),
    readBody: store.readBody.bind(store),
  });
  memory = new Memory(1 << 20);
  tiers = new Tiers(memory, faulty, clock, { everyMs: 1_000 });
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

function fetched(generation: number, body = BODY): Loaded {
  const digest = digestOf(body);
  const told = { confirmedAt: clock.now(), etag: '"e"', date: DATE, contentType: "text/plain" } as const;
  return { kind: "response", generation, ...told, coding: "identity", digest, body, ownName: undefined };
}

function fill(loaded: Loaded, found?: HeldWithHead): Promise<Filled> {
  const resource: Resource = { group: "demo", name: "json", load: () => Promise.resolve(loaded) };
  return fillAlone(resource, found, {
    tiers,
    clock,
    lowerAfterMs: 1_000,
    onLowerGeneration: () => undefined,
  });
}

/** The body that memory still has once something was made of it. */
function afterMaking(): Buffer | undefined {
  const held = tiers.find("demo", "json")?.held;
  if (held === undefined) throw new Error("nothing is held");
  tiers.keepRepresentation(held, "gzip", { etag: '"r"', fields: [], body: Buffer.from("made of it") });
  return tiers.find("demo", "json")?.held.body;
}

describe("a body of which something was made", () => {
  it("is let go where the store has it, and read again where it is needed", async () => {
    await fill(fetched(10));
    expect(afterMaking()).toBeUndefined();
    expect(await tiers.body(tiers.find("demo", "json")!.held)).toEqual(BODY);
  });

  it("is let go where the store has given it, though memory had forgotten all else of it", async () => {
    const found = await fill(fetched(10));
    expect(afterMaking()).toBeUndefined();
    memory.drop("demo", "json");
    await fill({ kind: "not-modified", confirmedAt: clock.now(), date: DATE }, found);
    expect(await tiers.body(tiers.find("demo", "json")!.held)).toEqual(BODY);
    expect(afterMaking()).toBeUndefined();
  });

  it("stays where the store has not taken it", async () => {
    takesWrites = false;
    await fill(fetched(10));
    expect(afterMaking()).toEqual(BODY);
  });

  it("stays where the store has taken no more of it than that it is current", async () => {
    takesWrites = false;
    const found = await fill(fetched(10));
    takesWrites = true;
    const confirmed = { kind: "not-modified", confirmedAt: clock.now(), date: DATE } as const;
    expect((await fill(confirmed, found)).stored).toBe(true);
    expect(afterMaking()).toEqual(BODY);
  });

  it("stays where the store has an older one, and was looked at since", async () => {
    await fill(fetched(10, Buffer.from("an older one")));
    takesWrites = false;
    clock.advance(1);
    await fill(fetched(11));
    expect((await tiers.compare("demo", "json"))?.held.entry.generation).toBe(11);
    expect(afterMaking()).toEqual(BODY);
  });
});
