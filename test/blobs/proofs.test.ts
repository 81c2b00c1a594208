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
let unknown: unknown[];
let closed: number;
let proofs: Proofs;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "larder-proofs-"));
  ending = new AbortController();
  wrong = [];
  unknown = [];
  closed = 0;
  const onWrong = ({ name }: OpenFile, error: unknown): Promise<void> => {
    wrong.push([name, error]);
    return Promise.resolve();
  };
  const onUnknown = ({ name }: OpenFile, error: unknown): void => void unknown.push([name, error]);
  proofs = new Proofs({ onWrong, onUnknown, signal: ending.signal });
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
  const { ino: inode } = await handle.stat();
  const file = { name, inode, blake2b256: hash.digest(), bytes: BYTES.length, handle, users };
  return { file, leave: users.enter() };
}

describe("a proof", () => {
  it("is made once for all who want it at once, and not again", async () => {
    const { file, leave } = await opened("right", BYTES);
    expect(proofs.has("right")).toBe(false);
    const proof = proofs.of(file);
    expect(proofs.of(file)).toBe(proof);
    leave();
    expect(closed).toBe(0); // the proof has it open
    expect(await proof).toBe("right");
    expect([proofs.has("right"), wrong, unknown, closed]).toEqual([true, [], [], 1]);
  });

  it("is not needed of what was hashed as it came, but is of what came to lie there since", () => {
    proofs.note("right");
    expect(proofs.has("right")).toBe(true);
    proofs.forget("right");
    expect(proofs.has("right")).toBe(false);
  });

  it("fails for one byte that is another, and says nothing of another file that came to have its name", async () => {
    const one = await opened("one", Buffer.concat([BYTES.subarray(0, -1), Buffer.from("!")]));
    const found = proofs.of(one.file);
    rmSync(join(directory, "one"));
    const mended = await opened("one", BYTES);
    expect(await Promise.all([found, proofs.of(mended.file)])).toEqual(["wrong", "right"]);
    expect([wrong, unknown]).toEqual([[["one", expect.any(UpstreamUnavailable)]], []]);
    for (const { leave } of [one, mended]) leave();
    expect(closed).toBe(2);
  });

  it("that cannot be made says nothing against the file, unless it is the disk that cannot read it", async () => {
    const short = await opened("short", BYTES);
    truncateSync(join(directory, "short"), 10);
    expect(await proofs.of(short.file)).toBe("unknown");
    const { file, leave } = await opened("right", BYTES);
    memory.isThere = false;
    expect(await proofs.of(file)).toBe("unknown");
    memory.isThere = true;
    const failing = vi.spyOn(file.handle, "read");
    const failure = (code: string): Error => Object.assign(new Error(code), { code });
    failing.mockRejectedValueOnce(failure("ESTALE"));
    expect(await proofs.of(file)).toBe("unknown");
    expect([wrong, unknown.length]).toEqual([[], 3]);
    failing.mockRejectedValueOnce(failure("EIO"));
    expect(await proofs.of(file)).toBe("wrong");
    expect(wrong).toEqual([["right", failure("EIO")]]);
    expect(await proofs.of(file)).toBe("right");
    for (const each of [short.leave, leave]) each();
    expect(closed).toBe(2);
  });

  it("is one of two at a time, so that the first who wait have theirs first", async () => {
    const files = await Promise.all(Array.from({ length: 8 }, (_, i) => opened(`file-${i}`, BYTES)));
    let reading = 0;
    let most = 0;
    for (const { file } of files) {
      const read = file.handle.read.bind(file.handle);
      const counted = async (...args: Parameters<typeof read>): Promise<Awaited<ReturnType<typeof read>>> => {
        most = Math.max(most, (reading += 1));
        const got = await read(...args);
        reading -= 1;
        return got;
      };
      vi.spyOn(file.handle, "read").mockImplementation(counted);
    }
    const order: string[] = [];
    await Promise.all(files.map(({ file }) => proofs.of(file).then(() => order.push(file.name))));
    expect(most).toBe(2);
    expect(order.slice(0, 2).toSorted()).toEqual(["file-0", "file-1"]);
    for (const { leave } of files) leave();
  });

  it("that is broken off at the end of larder says nothing against the file, nor do those that wait", async () => {
    const files = await Promise.all(Array.from({ length: 5 }, (_, i) => opened(`file-${i}`, BYTES)));
    const found = files.map(({ file }) => proofs.of(file));
    ending.abort(new Error("larder is stopping"));
    await proofs.settled();
    expect(new Set(await Promise.all(found))).toEqual(new Set(["unknown"]));
    for (const { leave } of files) leave();
    expect([wrong, unknown, closed]).toEqual([[], [], 5]);
  });
});
