import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Entry, Head, Store } from "../../src/store/store.ts";
import { changeOf, digestOf, entryOf, headOf, T0 } from "./entries.ts";

/** Where the stores of one test live: each `open` gives another view of the same data, as another process has. */
export interface Ground {
  open(): Promise<Store>;
  /** Takes everything away that `open` has made. */
  clear(): Promise<void>;
}

const bytes = (text: string): Buffer => Buffer.from(text);

/** What every store promises (src/store/store.ts), as tests. */
export function describeStore(title: string, prepare: () => Promise<Ground>): void {
  describe(`${title} keeps the store's contract`, () => {
    let ground: Ground;
    let store: Store;
    beforeEach(async () => {
      ground = await prepare();
      store = await ground.open();
    });
    afterEach(async () => {
      await store.close();
      await ground.clear();
    });

    it("finds nothing where nothing is stored", async () => {
      expect(await store.read("absent", "json")).toEqual({ head: undefined, entry: undefined });
      expect(await store.readBody(entryOf("absent", "json", 1, bytes("x")))).toBeUndefined();
    });

    it("finds the head and the entry as written", async () => {
      const head: Head = {
        generation: 36_000_001,
        advancedAt: T0 - 5,
        confirmedAt: T0 + 1,
        invalidatedAt: T0 - 1,
        lowerSince: T0 - 2,
      };
      const entry = { ...entryOf("django", "json", 36_000_001, bytes("body")), fetchedAt: T0 - 9 };
      expect(await store.write({ group: "django", head, basis: 0, entry, body: bytes("body") })).toBe(
        "written",
      );
      expect(await store.read("django", "json")).toEqual({ head, entry });
      expect(await store.read("django", "other")).toEqual({ head, entry: undefined });
    });

    it("keeps a generation exact that is as large as a number can be", async () => {
      const generation = Number.MAX_SAFE_INTEGER;
      await store.write(changeOf("large", "json", generation, bytes("x"), 0));
      const { head, entry } = await store.read("large", "json");
      expect([head?.generation, entry?.generation]).toEqual([generation, generation]);
    });

    it("finds what an upstream without generations has: generation 0", async () => {
      await store.write(changeOf("zero", "json", 0, bytes("one")));
      await store.write(changeOf("zero", "json", 0, bytes("two")));
      const { head, entry } = await store.read("zero", "json");
      expect(head?.generation).toBe(0);
      expect(await store.readBody(entry!)).toEqual(bytes("two"));
    });

    it.each([
      ["empty", Buffer.alloc(0)],
      ["all byte values", Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
      ["0x00 only", Buffer.alloc(1000)],
      ["0xFF only", Buffer.alloc(1000, 0xff)],
      ["exactly one piece", patterned(256 * 1024)],
      ["exactly 1 MiB", patterned(1024 * 1024)],
      ["1 MiB and a byte", patterned(1024 * 1024 + 1)],
      ["5 MiB", patterned(5 * 1024 * 1024 + 17)],
    ])("gives a body back byte for byte: %s", async (_, body) => {
      expect(await store.write(changeOf("bodies", "json", 1, body))).toBe("written");
      const { entry } = await store.read("bodies", "json");
      const read = await store.readBody(entry!);
      expect(read?.equals(body)).toBe(true);
    });

    describe("generations", () => {
      it("replaces an older one of the same name by a newer one", async () => {
        await store.write(changeOf("gen", "json", 1, bytes("old")));
        const old = (await store.read("gen", "json")).entry!;
        expect(await store.write(changeOf("gen", "json", 2, bytes("new"), 1))).toBe("written");
        const { head, entry } = await store.read("gen", "json");
        expect([head?.generation, entry?.generation]).toEqual([2, 2]);
        expect(await store.readBody(entry!)).toEqual(bytes("new"));
        expect(await store.readBody(old)).toBeUndefined();
      });

      it("keeps entries of other names, whatever their generation", async () => {
        await store.write(changeOf("gen", "a", 1, bytes("a1")));
        await store.write(changeOf("gen", "b", 2, bytes("b2"), 1));
        const { head, entry } = await store.read("gen", "a");
        expect([head?.generation, entry?.generation]).toEqual([2, 1]);
        expect(await store.readBody(entry!)).toEqual(bytes("a1"));
      });

      it("refuses what was decided before somebody learned newer, and writes nothing of it", async () => {
        await store.write(changeOf("gen", "json", 9, bytes("newer")));
        expect(await store.write(changeOf("gen", "json", 8, bytes("older"), 7))).toBe("refused");
        expect(await store.write(changeOf("gen", "more", 8, bytes("older"), 7))).toBe("refused");
        expect(await store.write(changeOf("gen", "json", 8, patterned(2_000_000), 7))).toBe("refused");
        expect(await store.write({ group: "gen", head: headOf(8, { lowerSince: 5 }), basis: 8 })).toBe(
          "refused",
        );
        const { head, entry } = await store.read("gen", "json");
        expect(head).toEqual(headOf(9));
        expect(await store.readBody(entry!)).toEqual(bytes("newer"));
        expect((await store.read("gen", "more")).entry).toBeUndefined();
      });

      it("refuses the same generation when it was decided on an older one: decide again", async () => {
        await store.write(changeOf("gen", "json", 9, bytes("first")));
        expect(await store.write(changeOf("gen", "json", 9, bytes("second"), 8))).toBe("refused");
        expect(await store.write(changeOf("gen", "json", 9, bytes("second"), 9))).toBe("written");
        expect(await store.readBody((await store.read("gen", "json")).entry!)).toEqual(bytes("second"));
      });

      it("refuses what was asked for earlier than what is held, unless it is of a newer generation", async () => {
        const asked = (fence: number, generation: number, text: string) => {
          const change = changeOf("gen", "json", generation, bytes(text));
          return { ...change, entry: { ...entryOf("gen", "json", generation, bytes(text)), fence } };
        };
        await store.write(asked(20, 9, "later"));
        expect(await store.write(asked(19, 9, "earlier"))).toBe("refused");
        expect(
          await store.write({ ...asked(19, 9, "earlier"), head: headOf(9, { confirmedAt: T0 + 9 }) }),
        ).toBe("refused");
        expect((await store.read("gen", "json")).head).toEqual(headOf(9));
        expect(await store.readBody((await store.read("gen", "json")).entry!)).toEqual(bytes("later"));
        expect(await store.write(asked(20, 9, "again"))).toBe("written");
        expect(await store.write({ ...asked(5, 10, "newer"), basis: 9 })).toBe("written");
        const { entry } = await store.read("gen", "json");
        expect([entry?.generation, entry?.fence]).toEqual([10, 5]);
      });

      it("lowers the generation where that was decided knowing the present one", async () => {
        await store.write(changeOf("gen", "json", 9, bytes("nine")));
        expect(await store.write(changeOf("gen", "json", 5, bytes("five"), 9))).toBe("written");
        const { head, entry } = await store.read("gen", "json");
        expect([head?.generation, entry?.generation]).toEqual([5, 5]);
        expect(await store.readBody(entry!)).toEqual(bytes("five"));
      });

      it("replaces an entry of the same generation, whose old body is then nobody's", async () => {
        await store.write(changeOf("gen", "json", 3, bytes("before")));
        const before = (await store.read("gen", "json")).entry!;
        await store.write(changeOf("gen", "json", 3, bytes("after")));
        expect(await store.readBody(before)).toBeUndefined();
        expect(await store.readBody((await store.read("gen", "json")).entry!)).toEqual(bytes("after"));
      });

      it("does not let a late confirmation of an older entry hide a newer one", async () => {
        const old = entryOf("gen", "json", 8, bytes("eight"));
        await store.write(changeOf("gen", "json", 9, bytes("nine")));
        await store.write({ group: "gen", head: headOf(9), basis: 9, entry: old });
        const { entry } = await store.read("gen", "json");
        expect(await store.readBody(entry!)).toEqual(bytes("nine"));
      });

      it("takes an older generation for a group that is known to be ahead, where nothing better is held", async () => {
        await store.write({ group: "gen", head: headOf(9), basis: 0 });
        const negative = { ...entryOf("gen", "json", 9, undefined), confirmedAt: T0 };
        await store.write({ group: "gen", head: headOf(9), basis: 9, entry: negative });
        const lagging = { ...entryOf("gen", "json", 8, bytes("eight")), confirmedAt: T0 + 1 };
        await store.write({ group: "gen", head: headOf(9), basis: 9, entry: lagging, body: bytes("eight") });
        expect((await store.read("gen", "json")).entry).toEqual(lagging);
        const late = { ...lagging, confirmedAt: T0 - 1 };
        await store.write({ group: "gen", head: headOf(9), basis: 9, entry: negative });
        await store.write({ group: "gen", head: headOf(9), basis: 9, entry: late, body: bytes("eight") });
        expect((await store.read("gen", "json")).entry).toEqual(negative);
      });
    });

    describe("heads", () => {
      it("keeps a head without any entry", async () => {
        expect(await store.write({ group: "bare", head: headOf(4), basis: 0 })).toBe("written");
        expect(await store.read("bare", "json")).toEqual({ head: headOf(4), entry: undefined });
      });

      it("never takes an invalidation or a confirmation back, whoever writes last", async () => {
        const first = headOf(4, {
          advancedAt: T0,
          confirmedAt: T0 + 20,
          invalidatedAt: T0 + 10,
          lowerSince: T0 + 5,
        });
        const second = headOf(4, {
          advancedAt: T0 + 1,
          confirmedAt: T0 + 15,
          invalidatedAt: 0,
          lowerSince: 0,
        });
        await store.write({ group: "merge", head: first, basis: 0 });
        await store.write({ group: "merge", head: second, basis: 4 });
        expect((await store.read("merge", "json")).head).toEqual({ ...first, lowerSince: 0 });
        const newer = headOf(5, { advancedAt: T0 + 3, confirmedAt: T0 + 3 });
        await store.write({ group: "merge", head: newer, basis: 4 });
        expect((await store.read("merge", "json")).head).toEqual({ ...newer, invalidatedAt: T0 + 10 });
      });
    });

    describe("what the change feed tells", () => {
      it("raises the head of what is held, once, and of nothing else", async () => {
        await store.write(changeOf("held", "json", 9, bytes("nine")));
        await store.write({ group: "held", head: headOf(9, { lowerSince: 5 }), basis: 9 });
        const marks = new Map([
          ["held", 12],
          ["not-held", 12],
        ]);
        await store.advance(marks, T0 + 7);
        await store.advance(marks, T0 + 9);
        const { head, entry } = await store.read("held", "json");
        expect(head).toEqual(headOf(12, { advancedAt: T0 + 7, lowerSince: 0 }));
        expect(entry?.generation).toBe(9);
        expect((await store.read("not-held", "json")).head).toBeUndefined();
      });

      it("never lowers a head, nor tells again of what is known", async () => {
        await store.write(changeOf("ahead", "json", 20, bytes("twenty")));
        await store.advance(new Map([["ahead", 19]]), T0 + 7);
        await store.advance(new Map([["ahead", 20]]), T0 + 7);
        expect((await store.read("ahead", "json")).head).toEqual(headOf(20));
      });

      it("raises a group of which only an absence is known", async () => {
        const entry = { ...entryOf("absent", "json", 0, undefined) };
        await store.write({
          group: "absent",
          head: headOf(0, { advancedAt: 0, invalidatedAt: T0 }),
          basis: 0,
          entry,
        });
        await store.advance(new Map([["absent", 3]]), T0 + 1);
        const { head } = await store.read("absent", "json");
        expect(head).toEqual(headOf(3, { advancedAt: T0 + 1, invalidatedAt: T0 }));
      });

      it("makes a write too late that was decided before, and lets upstream's word for it in", async () => {
        await store.write(changeOf("late", "json", 9, bytes("nine")));
        await store.advance(new Map([["late", 12]]), T0 + 7);
        expect(await store.write(changeOf("late", "json", 9, bytes("again"), 9))).toBe("refused");
        expect(await store.write(changeOf("late", "json", 12, bytes("twelve"), 12))).toBe("written");
      });

      it("raises many at once", async () => {
        const marks = new Map(Array.from({ length: 1_700 }, (_, i) => [`many-${i}`, 5]));
        for (const i of [0, 499, 500, 1_699])
          await store.write(changeOf(`many-${i}`, "json", 4, bytes("four")));
        await store.advance(marks, T0);
        for (const i of [0, 499, 500, 1_699]) {
          expect((await store.read(`many-${i}`, "json")).head?.generation).toBe(5);
        }
        await store.advance(new Map(), T0);
      });

      it("is followed to a position, which is there again after a restart", async () => {
        expect(await store.readFeed()).toBeUndefined();
        const first = { serial: 36_000_000, asOf: T0 + 2, followedSince: T0, fence: T0 * 1_000 };
        expect(await store.writeFeed(first)).toBe("written");
        const second = { ...first, serial: 36_000_007, asOf: T0 + 60_000, fence: first.fence + 1 };
        expect(await store.writeFeed(second)).toBe("written");
        await store.close();
        store = await ground.open();
        expect(await store.readFeed()).toEqual(second);
        expect(await store.writeFeed(second)).toBe("written");
      });

      it("keeps its position from whoever lost the lease", async () => {
        const theirs = { serial: 9, asOf: T0, followedSince: T0, fence: 20 };
        await store.writeFeed(theirs);
        expect(await store.writeFeed({ ...theirs, serial: 8, fence: 19 })).toBe("refused");
        expect(await store.readFeed()).toEqual(theirs);
      });
    });

    describe("bodies", () => {
      it("gives no bytes for a digest that is not the stored one", async () => {
        await store.write(changeOf("digest", "json", 1, bytes("right")));
        const { entry } = await store.read("digest", "json");
        expect(await store.readBody({ ...entry!, digest: digestOf(bytes("wrong")) })).toBeUndefined();
        expect(await store.readBody({ ...entry!, digest: "" })).toBeUndefined();
      });

      it("keeps the body when an entry is written again without it, as after a 304", async () => {
        const body = bytes("stays");
        await store.write(changeOf("confirm", "json", 1, body));
        const confirmed = { ...entryOf("confirm", "json", 1, body), confirmedAt: T0 + 60_000 };
        const head = headOf(1, { confirmedAt: T0 + 60_000 });
        expect(await store.write({ group: "confirm", head, basis: 1, entry: confirmed })).toBe("written");
        expect(await store.read("confirm", "json")).toEqual({ head, entry: confirmed });
        expect(await store.readBody(confirmed)).toEqual(body);
      });

      it("keeps the body when the generation moves on above it", async () => {
        const body = patterned(1_500_000);
        await store.write(changeOf("confirm", "json", 1, body));
        const moved = entryOf("confirm", "json", 2, body);
        await store.write({ group: "confirm", head: headOf(2), basis: 1, entry: moved });
        expect((await store.readBody(moved))?.equals(body)).toBe(true);
        await store.write({
          group: "confirm",
          head: headOf(3),
          basis: 2,
          entry: entryOf("confirm", "json", 3, body),
          body,
        });
        expect((await store.readBody(entryOf("confirm", "json", 3, body)))?.equals(body)).toBe(true);
      });

      it("has no body for an entry that came without one", async () => {
        // Of the same length, so that only the digest tells them apart.
        const entry = entryOf("confirm", "json", 1, bytes("elsewhere"));
        await store.write(changeOf("confirm", "json", 1, bytes("something")));
        await store.write({ group: "confirm", head: headOf(1), basis: 1, entry });
        expect((await store.read("confirm", "json")).entry).toEqual(entry);
        expect(await store.readBody(entry)).toBeUndefined();
      });
    });

    it("keeps negative entries, which have no body", async () => {
      const entry: Entry = { ...entryOf("gone", "json", 0, undefined), status: 410 };
      await store.write({ group: "gone", head: headOf(0), basis: 0, entry });
      expect((await store.read("gone", "json")).entry).toEqual(entry);
      expect(await store.readBody(entry)).toBeUndefined();
      await store.write(changeOf("gone", "json", 0, bytes("back")));
      expect((await store.read("gone", "json")).entry?.status).toBe(200);
    });

    it("keeps aliases, which have no body of their own", async () => {
      const alias: Entry = { ...entryOf("alias", "1.0.0", 7, undefined), status: 200, aliasOf: "1.0" };
      await store.write(changeOf("alias", "1.0", 7, bytes("release")));
      await store.write({ group: "alias", head: headOf(7), basis: 7, entry: alias });
      expect((await store.read("alias", "1.0.0")).entry).toEqual(alias);
      expect(await store.readBody(alias)).toBeUndefined();
      expect(await store.readBody((await store.read("alias", "1.0")).entry!)).toEqual(bytes("release"));
    });

    it("tells odd names apart", async () => {
      const names = [
        ...[
          "1.0",
          "1.0 ",
          " 1.0",
          "1.0\n",
          "1.00",
          "v1.0",
          "V1.0",
          "1.0+local",
          "1.0:body",
          "1:body",
          ":body",
        ],
        ...[
          "{a}",
          "}:e:json",
          "*",
          "[1]",
          "?",
          "\\",
          "'",
          '"',
          "%00",
          "e:json",
          "head",
          "names",
          "json",
          "JSON",
        ],
        ...["ü", "u\u0308", "日本", "\u{1f40d}", "a".repeat(1000), "1e3", "0x10", "__proto__", "-1", ""],
      ];
      for (const name of names) await store.write(changeOf("odd", name, 1, bytes(`body of ${name}`)));
      for (const name of names) {
        const { entry } = await store.read("odd", name);
        expect(entry?.name).toBe(name);
        expect(await store.readBody(entry!)).toEqual(bytes(`body of ${name}`));
      }
    });

    it("never takes one name for another that becomes the same in UTF-8", async () => {
      await store.write(changeOf("odd", "\ud800", 1, bytes("one half of a pair")));
      expect((await store.read("odd", "\ud801")).entry).toBeUndefined();
    });

    it("tells groups apart that are beginnings of each other", async () => {
      await store.write(changeOf("a", "b", 1, bytes("one")));
      await store.write(changeOf("a-b", "json", 2, bytes("two")));
      expect((await store.read("a", "json")).entry).toBeUndefined();
      expect((await store.read("a-b", "b")).entry).toBeUndefined();
      expect((await store.read("a", "b")).head?.generation).toBe(1);
    });

    describe("remove", () => {
      it("forgets a group whole, and no other", async () => {
        const names = Array.from({ length: 700 }, (_, i) => `1.${i}`);
        for (const name of names) await store.write(changeOf("purged", name, 1, bytes(name)));
        await store.write(changeOf("purged-too", "json", 1, bytes("not this")));
        const held = (await store.read("purged", "1.5")).entry!;
        await store.remove("purged");
        for (const name of names) {
          expect(await store.read("purged", name)).toEqual({ head: undefined, entry: undefined });
        }
        expect(await store.readBody(held)).toBeUndefined();
        expect((await store.read("purged-too", "json")).entry).toBeDefined();
      });

      it("forgets a head without entries, and is content with a group that is not there", async () => {
        await store.write({ group: "bare", head: headOf(4), basis: 0 });
        await store.remove("bare");
        await store.remove("never-was");
        expect((await store.read("bare", "json")).head).toBeUndefined();
      });

      it("lets a removed group begin again, lower than it was", async () => {
        await store.write(changeOf("again", "json", 9, bytes("nine")));
        await store.remove("again");
        expect(await store.write(changeOf("again", "json", 2, bytes("two"), 0))).toBe("written");
        const { head, entry } = await store.read("again", "json");
        expect([head?.generation, entry?.generation]).toEqual([2, 2]);
      });
    });

    it("is content to be told of uses, also of what it does not have", async () => {
      await store.write(changeOf("used", "json", 1, bytes("x")));
      await store.touch([]);
      await store.touch([
        { group: "used", name: "json" },
        { group: "unknown", name: "json" },
        ...Array.from({ length: 1500 }, (_, i) => ({ group: "used", name: String(i) })),
      ]);
      expect((await store.read("used", "json")).entry).toBeDefined();
      expect((await store.read("unknown", "json")).entry).toBeUndefined();
    });

    it("says how much it holds", async () => {
      const before = await store.size();
      await store.write(changeOf("size", "json", 1, Buffer.alloc(100_000, 1)));
      const after = await store.size();
      expect(after.entries).toBeGreaterThan(before.entries);
      expect(after.bytes).toBeGreaterThanOrEqual(before.bytes + 90_000);
    });

    it("still has everything after it was closed and opened again", async () => {
      const large = patterned(3_000_000);
      await store.write(changeOf("kept", "json", 5, bytes("small")));
      await store.write(changeOf("kept", "large", 5, large));
      await store.close();
      store = await ground.open();
      const { head, entry } = await store.read("kept", "json");
      expect(head).toEqual(headOf(5));
      expect(await store.readBody(entry!)).toEqual(bytes("small"));
      expect((await store.readBody((await store.read("kept", "large")).entry!))?.equals(large)).toBe(true);
    });

    it("waits for what is under way when it is closed, or fails it: nothing half", async () => {
      const large = patterned(3_000_000);
      const writing = Promise.resolve(store.write(changeOf("half", "json", 1, large))).catch(() => "failed");
      await store.close();
      const outcome = await writing;
      store = await ground.open();
      const { entry } = await store.read("half", "json");
      const body = entry === undefined ? undefined : await store.readBody(entry);
      if (outcome === "written" || entry !== undefined) expect(body?.equals(large)).toBe(true);
    });

    it("comes to the newest generation when many write at once, from several processes' views", async () => {
      const views = [store, await ground.open(), await ground.open()];
      const writes = Array.from({ length: 60 }, (_, i) => {
        // 1..60 in an order that is mixed up: 7 and 61 have no common factor.
        const generation = ((i * 7) % 61) + 1;
        const body = i % 10 === 0 ? patterned(1_200_000 + generation) : bytes(`generation ${generation}`);
        return { generation, body, view: views[i % views.length]! };
      });
      const newest = writes.reduce((a, b) => (a.generation > b.generation ? a : b));
      const outcomes = await Promise.all(
        writes.map(
          async ({ generation, body, view }) =>
            await view.write(changeOf("race", "json", generation, body, 0)),
        ),
      );
      expect(outcomes).not.toContain("failed");
      for (const view of views) {
        const { head, entry } = await view.read("race", "json");
        expect([head?.generation, entry?.generation]).toEqual([newest.generation, newest.generation]);
        expect((await view.readBody(entry!))?.equals(newest.body)).toBe(true);
      }
      await Promise.all(views.slice(1).map(async (view) => await view.close()));
    });
  });
}

/** Bytes of which each place is recognisable, so that no two pieces are the same. */
function patterned(length: number): Buffer {
  const body = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) body.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at);
  return body;
}
