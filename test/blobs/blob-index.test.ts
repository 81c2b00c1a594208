import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { BlobIndex } from "../../src/blobs/blob-index.ts";
import { TestClock } from "../support/clock.ts";

it("keeps the row of a file that was stored anew while an older one of its name went", () => {
  const directory = mkdtempSync(join(tmpdir(), "larder-index-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const clock = new TestClock();
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
  const row = { bytes: 1, contentType: "a/b", lastModified: undefined, date: "" };
  index.put("ab/c", "/c", row);
  const [seen] = index.oldest(1);
  clock.advance(1);
  index.put("ab/c", "/c", row);
  expect(index.removeSince("ab/c", seen!.usedAt)).toBe(false);
  expect(index.tally()).toEqual({ entries: 1, bytes: 1 });
  expect(index.removeSince("ab/c", clock.now())).toBe(true);
  expect(index.tally()).toEqual({ entries: 0, bytes: 0 });
});
