import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { BlobIndex } from "../../src/blobs/blob-index.ts";
import { TestClock } from "../support/clock.ts";

const HOUR_MS = 3_600_000;
const ROW = { bytes: 1, contentType: "a/b", lastModified: undefined, date: "" };

function openIndex(clock: TestClock): BlobIndex {
  const directory = mkdtempSync(join(tmpdir(), "larder-index-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const fail = (what: string): never => {
    throw new Error(what);
  };
  const index = new BlobIndex({
    file: join(directory, "files.sqlite"),
    clock,
    onSurvived: fail,
    onEmptied: () => fail("emptied"),
  });
  onTestFinished(() => index.close());
  return index;
}

it("keeps the row of a file that was stored anew while an older one of its name went", () => {
  const clock = new TestClock();
  const index = openIndex(clock);
  index.put("ab/c", "/c", ROW);
  const [seen] = index.oldest(1);
  clock.advance(1);
  index.put("ab/c", "/c", ROW);
  expect(index.removeSince("ab/c", seen!.usedAt)).toBe(false);
  expect(index.tally()).toEqual({ entries: 1, bytes: 1 });
  expect(index.removeSince("ab/c", clock.now())).toBe(true);
  expect(index.tally()).toEqual({ entries: 0, bytes: 0 });
});

it("writes down any number of uses, some at a time, and loses none that is noted meanwhile", () => {
  const clock = new TestClock();
  const index = openIndex(clock);
  const names = Array.from({ length: 1_000 }, (_, i) => `ab/${i}`);
  const used = (name: string): number => index.get(name)!.usedAt - clock.now();
  for (const [i, name] of names.entries()) {
    index.put(name, name, ROW, clock.now() - (i === 7 || i === 700 ? HOUR_MS : HOUR_MS - 1));
    index.use(name);
  }
  const steps = index.flushUses(HOUR_MS);
  expect(steps.next().value).toEqual(["ab/7"]);
  expect([used("ab/0"), used("ab/999")]).toEqual([0, 1 - HOUR_MS]);
  clock.advance(5);
  index.use("ab/0");
  index.use("ab/999");
  expect([...steps].flat()).toEqual(["ab/700"]);
  expect([used("ab/0"), used("ab/998"), used("ab/999")]).toEqual([-5, -5, -5]);
  expect([...index.flushUses(0)].flat().toSorted()).toEqual(["ab/0", "ab/999"]);
  expect([used("ab/0"), used("ab/999")]).toEqual([0, 0]);
  expect([...index.flushUses(0)]).toEqual([]);
});
