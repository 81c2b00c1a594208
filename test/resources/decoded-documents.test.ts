import { expect, it } from "vitest";
import { DecodedDocuments } from "../../src/resources/decoded-documents.ts";
import { TestClock } from "../support/clock.ts";

const DIGEST = "of the stored body";
const scanned = { serial: 1, version: undefined, urls: undefined };

const decoded = () => ({ bytes: Buffer.alloc(300_000, 1), scanned, isOwn: true });

it("keeps one of two that are the same bytes, and gives the other one's memory back", async () => {
  const clock = new TestClock();
  const documents = new DecodedDocuments({ clock, maxDocumentBytes: 1_000_000 });
  const [first, second] = [decoded(), decoded()];
  documents.expect(DIGEST, first);
  documents.expect(DIGEST, second);
  await expect.poll(() => second.bytes.length).toBe(0);
  expect([clock.pending.length, first.bytes.length]).toEqual([1, 300_000]);
});

it("forgets what nobody wants, and gives its memory back", async () => {
  const clock = new TestClock();
  const documents = new DecodedDocuments({ clock, maxDocumentBytes: 1_000_000 });
  const unwanted = decoded();
  documents.expect(DIGEST, unwanted);
  clock.advance(1_000);
  await expect.poll(() => unwanted.bytes.length).toBe(0);
});
