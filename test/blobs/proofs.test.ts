import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createBlake2b256 } from "../../src/blobs/blake2b.ts";
import { type OpenFile, Proofs } from "../../src/blobs/proofs.ts";
import { Users } from "../../src/blobs/users.ts";
import { UpstreamUnavailable } from "../../src/errors.ts";

const memory = vi.hoisted(() => ({ isThere: true }));
vi.mock("hash-wasm", async (importOriginal) => {
  const original = await importOriginal<typeof import("hash-wasm")>();
  const createBLAKE2b: typeof original.createBLAKE2b = (...args) =>
    memory.isThere ? original.createBLAKE2b(...args) : Promise.reject(new RangeError("out of memory"));
  return { ...original, createBLAKE2b };
});

const BYTES = Buffer.alloc(3_000_000, "the quick brown fox ");

let directory: string;
let ending: AbortController;
let wrong: unknown[];
let unproved: string[];
let closed: number;
let proofs: Proofs;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "larder-proofs-"));
  ending = new AbortController();
  wrong = [];
  unproved = [];
  closed = 0;
  const onWrong = ({ name }: OpenFile, error: unknown): Promise<void> => {
    wrong.push([name, error]);
    return Promise.resolve();
  };
  const onUnproved = ({ name }: OpenFile): void => void unproved.push(name);
  proofs = new Proofs({ onWrong, onUnproved, signal: ending.signal });
});

afterEach(() => rmSync(directory, { recursive: true }));

/** A file that lies there with these bytes and is to have those of `BYTES`; and how its reader leaves it. */
async function opened(name: string, bytes: Buffer): Promise<{ file: OpenFile; leave: () => void }> {
  writeFileSync(join(directory, name), bytes);
  const hash = await createBlake2b256();
  hash.update(BYTES);
  const handle = await open(join(directory, name));
  const users = new Users(() => {
    closed += 1;
    void handle.close();
  });
  const file = { name, blake2b256: hash.digest(), bytes: BYTES.length, handle, users };
  return { file, leave: users.enter() };
}

describe("a proof", () => {
  it("is made once for all who want it at once, and not again", async () => {
    const { file, leave } = await opened("right", BYTES);
    const proof = proofs.of(file);
    expect(proofs.of(file)).toBe(proof);
    leave();
    expect(closed).toBe(0); // the proof has it open
    expect(await proof).toBe(true);
    expect([proofs.of(file), wrong, closed]).toEqual([undefined, [], 1]);
  });

  it("is not needed of what was hashed as it came, but is of what came to lie there since", async () => {
    const { file, leave } = await opened("right", BYTES);
    proofs.note(file.name);
    expect(proofs.of(file)).toBeUndefined();
    proofs.forget(file.name);
    expect(await proofs.of(file)).toBe(true);
    leave();
  });

  it("fails for one byte that is another, and for bytes that cannot be read", async () => {
    const one = await opened("one", Buffer.concat([BYTES.subarray(0, -1), Buffer.from("!")]));
    expect(await proofs.of(one.file)).toBe(false);
    const short = await opened("short", BYTES);
    truncateSync(join(directory, "short"), 10);
    expect(await proofs.of(short.file)).toBe(false);
    expect(wrong).toEqual([
      ["one", expect.any(UpstreamUnavailable)],
      ["short", expect.objectContaining({ message: "the file ends at 10, before 3000000" })],
    ]);
    // It is not taken for proved, nor for wrong: another may lie there by now.
    const mended = await opened("one", BYTES);
    expect(await proofs.of(mended.file)).toBe(true);
    for (const { leave } of [one, short, mended]) leave();
    expect(closed).toBe(3);
  });

  it("that cannot be begun says nothing against the file", async () => {
    const { file, leave } = await opened("right", BYTES);
    memory.isThere = false;
    expect(await proofs.of(file)).toBe(false);
    memory.isThere = true;
    expect([wrong, unproved]).toEqual([[], ["right"]]);
    expect(await proofs.of(file)).toBe(true);
    leave();
    expect(closed).toBe(1);
  });

  it("that is broken off at the end of larder says nothing against the file", async () => {
    const { file, leave } = await opened("right", BYTES);
    const proof = proofs.of(file);
    ending.abort(new Error("larder is stopping"));
    await proofs.settled();
    expect([await proof, wrong]).toEqual([false, []]);
    leave();
    expect(closed).toBe(1);
  });
});
