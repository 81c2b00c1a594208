import { expect, it } from "vitest";
import { DecodedDocuments } from "../../src/resources/decoded-documents.ts";
import { nextTurn } from "../../src/event-loop.ts";
import { entryOf } from "../store/entries.ts";
import { TestClock } from "../support/clock.ts";

const STORED = Buffer.from("not looked at while it is there decoded");
const ENTRY = entryOf("demo", "json", 1, STORED);
const scanned = { serial: 1, version: undefined, urls: undefined };

const decoded = () => ({ bytes: Buffer.alloc(300_000, 1), scanned, isOwn: true });

it("keeps one of two that are the same bytes, and gives the other one's memory back", async () => {
  const clock = new TestClock();
  const documents = new DecodedDocuments({ clock, maxDocumentBytes: 1_000_000 });
  const [first, second] = [decoded(), decoded()];
  documents.expect(ENTRY.digest, first);
  documents.expect(ENTRY.digest, second);
  await expect.poll(() => second.bytes.length).toBe(0);
  expect([clock.pending.length, first.bytes.length]).toEqual([1, 300_000]);
});

it("gives the memory back when the last of those at work on it is done, and has no timer left", async () => {
  const clock = new TestClock();
  const documents = new DecodedDocuments({ clock, maxDocumentBytes: 1_000_000 });
  const shared = decoded();
  documents.expect(ENTRY.digest, shared);
  const [one, other] = [await documents.borrow(ENTRY, STORED), await documents.borrow(ENTRY, STORED)];
  one.giveBack();
  await nextTurn();
  expect([clock.pending, shared.bytes.length]).toEqual([[], 300_000]);
  other.giveBack();
  await expect.poll(() => shared.bytes.length).toBe(0);
});

it("forgets what nobody wants, and gives its memory back", async () => {
  const clock = new TestClock();
  const documents = new DecodedDocuments({ clock, maxDocumentBytes: 1_000_000 });
  const unwanted = decoded();
  documents.expect(ENTRY.digest, unwanted);
  clock.advance(1_000);
  await expect.poll(() => unwanted.bytes.length).toBe(0);
});
