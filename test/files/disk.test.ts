import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestClock } from "../support/clock.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { download } from "./download.ts";
import { type FileCache, type FileCacheOptions, hashPath, someBytes, startFileCache } from "./file-cache.ts";
import { fill, HAS_SMALL_DISKS, mount, unmount } from "../support/small-disk.ts";
import { startFileCacheProcess } from "./process.ts";

const MIB = 1024 * 1024;

let upstream: FakeUpstream;
let clock: TestClock;
let directory: string;
let open: FileCache[];

async function start(options: Partial<FileCacheOptions> = {}): Promise<FileCache> {
  const defaults = { upstreamUrl: upstream.url, clock, dataDirectory: directory };
  const cache = await startFileCache({ ...defaults, ...options });
  open.push(cache);
  await cache.blobs.swept;
  return cache;
}

async function stop(cache: FileCache): Promise<void> {
  open = open.filter((each) => each !== cache);
  await cache.stop();
}

interface Put {
  readonly path: string;
  readonly bytes: Buffer;
  readonly whole: { readonly sha256: string; readonly bytes: number; readonly complete: true };
}

async function put(length: number, seed: number): Promise<Put> {
  const bytes = someBytes(length, seed);
  const path = await hashPath(bytes);
  upstream.file(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { path, bytes, whole: { sha256, bytes: length, complete: true } };
}

beforeEach(async () => {
  upstream = await startUpstream();
  clock = new TestClock(Date.now());
  directory = mkdtempSync(join(tmpdir(), "larder-files-"));
  open = [];
});

afterEach(async () => {
  await Promise.all(open.map((cache) => cache.stop()));
  await upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

function namesBelow(...folders: string[]): string[] {
  const found = readdirSync(join(directory, "files", ...folders), { recursive: true, withFileTypes: true });
  return found
    .filter((each) => each.isFile() && each.name !== "folder-id")
    .map((each) => join(each.parentPath, each.name));
}

const parts = (): string[] => namesBelow("tmp").filter((name) => name.endsWith(".part"));
const finished = (): string[] =>
  namesBelow().filter((name) => !name.startsWith(join(directory, "files", "tmp")) && !name.endsWith(".json"));

describe("a process that is killed in the middle of a download", () => {
  it("leaves no file that anybody sees, and what it left is swept at the next start", async () => {
    const { path, bytes, whole } = await put(4 * MIB, 1);
    const gate = upstream.holdBody(path, 2 * MIB);
    const first = await startFileCacheProcess(upstream.url, directory);
    const client = download(first.url, path);
    await client.reached(2 * MIB);
    await first.kill();
    expect((await client.done).complete).toBe(false);
    expect([parts().length, finished().length]).toEqual([1, 0]);
    gate.release();
    const second = await start();
    expect([parts(), second.blobs.size().entries]).toEqual([[], 0]);
    expect(await download(second.url, path).done).toEqual(whole);
    expect((await second.get(path)).body.equals(bytes)).toBe(true);
  });

  it("keeps all that was whole, for the next one, with upstream gone", async () => {
    const files = [await put(MIB, 1), await put(MIB, 2)];
    const first = await startFileCacheProcess(upstream.url, directory);
    for (const { path, whole } of files) expect(await download(first.url, path).done).toEqual(whole);
    await first.kill();
    await upstream.down();
    const second = await start();
    for (const { path, whole } of files) expect(await download(second.url, path).done).toEqual(whole);
  });

  it("does not take with it what another living one has under way", async () => {
    const { path, whole } = await put(4 * MIB, 1);
    const gate = upstream.holdBody(path, 2 * MIB);
    const living = await startFileCacheProcess(upstream.url, directory);
    const client = download(living.url, path);
    await client.reached(2 * MIB);
    const other = await start();
    expect(parts()).toHaveLength(1);
    gate.release();
    expect(await client.done).toEqual(whole);
    // What one has stored, the other finds.
    await upstream.down();
    expect(await download(other.url, path).done).toEqual(whole);
    await living.kill();
  });
});

describe("a row and its bytes", () => {
  it("without the bytes is a miss: the file is fetched again", async () => {
    const { path, bytes } = await put(MIB, 1);
    const cache = await start();
    await cache.get(path);
    const [file = ""] = finished();
    unlinkSync(file);
    const again = await cache.get(path);
    expect([again.body.equals(bytes), again.cacheStatus]).toEqual([
      true,
      expect.stringContaining("fwd=miss"),
    ]);
    expect(cache.blobs.size()).toEqual({ entries: 1, bytes: MIB, filling: 0 });
    expect((await cache.get(path)).cacheStatus).toContain("hit");
  });

  it("with less than the bytes, as a power cut leaves it, is a miss too", async () => {
    const { path, bytes } = await put(MIB, 1);
    const cache = await start();
    await cache.get(path);
    truncateSync(finished()[0] ?? "", 1000);
    expect((await cache.get(path)).body.equals(bytes)).toBe(true);
    expect(cache.survived).toEqual(["files: not whole"]);
  });

  it("are both gone when somebody clears the directory: files are stored again, without a restart", async () => {
    const { path, bytes } = await put(MIB, 1);
    const cache = await start();
    await cache.get(path);
    rmSync(join(directory, "files"), { recursive: true });
    expect((await cache.get(path)).body.equals(bytes)).toBe(true);
    expect((await cache.get(path)).cacheStatus).toContain("hit");
  });

  it("are together again after an index was lost: what lies there is taken in, and is served", async () => {
    const { path, whole } = await put(MIB, 1);
    const first = await start();
    await first.get(path);
    await stop(first);
    writeFileSync(join(directory, "files.sqlite"), "this is no database, and too long to be an empty one");
    await upstream.down();
    const second = await start();
    expect(second.survived).toEqual(["files: index put aside (corrupt)"]);
    expect(second.blobs.size()).toEqual({ entries: 1, bytes: MIB, filling: 0 });
    expect(await download(second.url, path).done).toEqual(whole);
  });

  it("are together again after an index has come to be damaged while it is in use", async () => {
    const files = await Promise.all(Array.from({ length: 4 }, (_, i) => put(1000, i + 1)));
    const first = await start();
    for (const { path } of files) await first.get(path);
    await stop(first);
    // Its first page is as it was.
    const index = join(directory, "files.sqlite");
    const { size } = statSync(index);
    writeFileSync(
      index,
      Buffer.concat([readFileSync(index).subarray(0, 4096), Buffer.alloc(size - 4096, 7)]),
    );
    await upstream.down();
    const second = await start();
    expect(second.survived).toContain("files: index put aside (corrupt)");
    // Before anybody asks for them.
    await expect.poll(() => second.blobs.size().entries).toBe(4);
    for (const { path, whole } of files) expect(await download(second.url, path).done).toEqual(whole);
  });

  it("that nobody has told anything of are swept, once they are old", async () => {
    await stop(await start());
    mkdirSync(join(directory, "files", "ab"));
    writeFileSync(join(directory, "files", "ab", "c".repeat(62)), "whose?");
    await stop(await start());
    expect(finished()).toHaveLength(1);
    clock.advance(3_700_000);
    await start();
    expect(finished()).toEqual([]);
  });

  it("as an older larder stored them are told of from then on, for whoever shares the folder", async () => {
    const { path } = await put(MIB, 1);
    const first = await start();
    await first.get(path);
    await stop(first);
    const facts = namesBelow().filter((name) => name.endsWith(".json"));
    const told = facts.map((name) => JSON.parse(readFileSync(name, "utf8")) as unknown);
    for (const name of facts) unlinkSync(name);
    await start();
    expect(facts.map((name) => JSON.parse(readFileSync(name, "utf8")) as unknown)).toEqual(told);
    expect(told).toHaveLength(1);
  });
});

describe("a file that lies on the disk with its length and other bytes, as after a power cut", () => {
  /** Stores a file, and spoils it while no larder is there. */
  async function spoil(length: number): Promise<Put> {
    const file = await put(length, 1);
    const first = await start();
    expect(await download(first.url, file.path).done).toEqual(file.whole);
    await stop(first);
    const [name = ""] = finished();
    const onDisk = readFileSync(name);
    onDisk.fill(0, length - 5000, length - 1000);
    writeFileSync(name, onDisk);
    return file;
  }

  it("is a miss, whatever of it is asked for first, and stored anew", async () => {
    for (const sent of [{}, { method: "HEAD" }, { headers: { range: "bytes=10-19" } }]) {
      const { path, bytes } = await spoil(MIB);
      const cache = await start();
      const first = await cache.get(path, sent);
      expect(first.cacheStatus).toContain("fwd=miss");
      if ("headers" in sent) expect(first.body.equals(bytes.subarray(10, 20))).toBe(true);
      expect(cache.survived).toEqual(["files: wrong on disk"]);
      expect((await cache.get(path)).body.equals(bytes)).toBe(true);
      expect((await cache.get(path)).cacheStatus).toContain("hit");
      expect(cache.blobs.size()).toEqual({ entries: 1, bytes: MIB, filling: 0 });
      expect(cache.survived).toHaveLength(1);
      await stop(cache);
      rmSync(join(directory, "files"), { recursive: true });
      unlinkSync(join(directory, "files.sqlite"));
    }
  });

  it("is not given while upstream is down either", async () => {
    const { path } = await spoil(MIB);
    await upstream.down();
    const cache = await start();
    expect((await cache.get(path)).status).toBe(503);
  });

  it("and is large, never ends: its last byte is held back, and who comes again gets it whole", async () => {
    const { path, bytes, whole } = await spoil(17 * MIB);
    const cache = await start();
    const clients = [download(cache.url, path), download(cache.url, path, { range: "bytes=17000000-" })];
    const [first, second] = await Promise.all(clients.map((client) => client.done));
    expect(first).toMatchObject({ complete: false });
    expect(second).toMatchObject({ complete: false });
    expect([cache.broken, cache.survived]).toEqual([[path, path], ["files: wrong on disk"]]);
    const again = download(cache.url, path);
    expect((await again.head).headers["cache-status"]).toContain("fwd=miss");
    expect(await again.done).toEqual(whole);
    const part = await cache.get(path, { headers: { range: "bytes=-6000" } });
    expect([part.cacheStatus, part.body.equals(bytes.subarray(-6000))]).toEqual([
      expect.stringContaining("hit"),
      true,
    ]);
  });

  it("is told from one that is right, which is served from the disk whole, however large", async () => {
    const files = [await put(MIB, 1), await put(17 * MIB, 2)];
    const first = await start();
    for (const { path, whole } of files) expect(await download(first.url, path).done).toEqual(whole);
    await stop(first);
    await upstream.down();
    const second = await start();
    for (const { path, bytes, whole } of files) {
      const client = download(second.url, path);
      expect((await client.head).headers["cache-status"]).toContain("hit");
      expect(await client.done).toEqual(whole);
      const part = await second.get(path, { headers: { range: "bytes=-6000" } });
      expect(part.body.equals(bytes.subarray(-6000))).toBe(true);
    }
    expect([second.survived, second.broken]).toEqual([[], []]);
  });

  it("is dropped by no proof of it once another has stored it anew under its name", async () => {
    const { path, bytes } = await spoil(17 * MIB);
    const cache = await start();
    const blake2b256 = path.split("/").slice(2, 5).join("");
    const reading = await cache.blobs.find({ path, blake2b256 });
    // The proof has begun, and cannot have come far within this turn.
    const [name = ""] = finished();
    writeFileSync(`${name}.new`, bytes);
    renameSync(`${name}.new`, name);
    const copying = reading!.copy(0, bytes.length, () => Promise.resolve(), new AbortController().signal);
    await expect(copying).rejects.toMatchObject({ failure: "wrong-bytes" });
    reading!.close();
    const again = await cache.get(path);
    expect([again.cacheStatus, again.body.equals(bytes)]).toEqual([expect.stringContaining("hit"), true]);
  });

  it("is not looked for by who fetched it: that has hashed every byte as it came", async () => {
    const { path } = await put(MIB, 1);
    const cache = await start();
    await cache.get(path);
    const [name = ""] = finished();
    const onDisk = readFileSync(name);
    onDisk.fill(0, 5000, 6000);
    writeFileSync(name, onDisk);
    expect((await cache.get(path)).cacheStatus).toContain("hit");
    expect(cache.survived).toEqual([]);
  });

  it("and is being looked at when larder ends, does not keep it from ending", async () => {
    const { path, whole } = await put(40 * MIB, 1);
    const first = await start();
    expect(await download(first.url, path).done).toEqual(whole);
    await stop(first);
    const second = await start();
    await download(second.url, path).firstByte;
    await stop(second);
    expect(second.survived).toEqual([]);
    expect(finished()).toHaveLength(1);
  });
});

describe("the disk budget", () => {
  it("when passed is kept by evicting the least recently used down to nine tenths", async () => {
    const cache = await start({ maxBytes: 10 * MIB });
    const files = await Promise.all(Array.from({ length: 10 }, (_, i) => put(MIB, i + 1)));
    for (const { path } of files) {
      await cache.get(path);
      clock.advance(1000);
    }
    expect(cache.blobs.size().entries).toBe(10);
    await cache.get(files[0]!.path); // used again: no longer the oldest
    clock.advance(1000);
    await cache.get((await put(MIB, 11)).path);
    // Down to 9 MiB with the new one.
    expect(cache.blobs.size()).toEqual({ entries: 9, bytes: 9 * MIB, filling: 0 });
    const before = upstream.count();
    await cache.get(files[0]!.path);
    await cache.get(files[3]!.path);
    expect(upstream.count()).toBe(before);
    await cache.get(files[1]!.path);
    expect(upstream.count()).toBe(before + 1);
    expect(finished()).toHaveLength(cache.blobs.size().entries);
  });

  it("never pulls a file away from who is reading it", async () => {
    const cache = await start({ maxBytes: 9 * MIB });
    const read = await put(8 * MIB, 1);
    await download(cache.url, read.path).done;
    const reader = download(cache.url, read.path);
    reader.pause();
    expect((await reader.head).headers["cache-status"]).toContain("hit");
    await cache.get((await put(4 * MIB, 2)).path);
    expect(cache.blobs.size().bytes).toBe(4 * MIB);
    reader.resume();
    expect(await reader.done).toEqual(read.whole);
  });

  it("is not spent on a file that is larger than it: that passes through, whole and proved", async () => {
    const cache = await start({ maxBytes: MIB });
    const { path, bytes, whole } = await put(4 * MIB, 1);
    for (let i = 0; i < 2; i++) {
      const client = download(cache.url, path);
      expect((await client.head).headers["cache-status"]).toBe("larder; fwd=miss; fwd-status=200");
      expect(await client.done).toEqual(whole);
    }
    const part = await cache.get(path, { headers: { range: "bytes=-1000" } });
    expect(part.body.equals(bytes.subarray(-1000))).toBe(true);
    expect([parts(), finished()]).toEqual([[], []]);
    expect(cache.survived).toContain("files: too large for the budget");
    const wrong = Buffer.from(bytes).fill(0, 0, 1);
    upstream.file(path, wrong);
    const deceived = await download(cache.url, path).done;
    expect([deceived.complete, deceived.bytes < bytes.length]).toEqual([false, true]);
  });

  it("keeps nobody from upstream who takes nothing of what passes through to him: he has the rest by Range", async () => {
    // Upstream is never late, whatever the clock says.
    const never = { firstByteMs: 1e9, betweenBytesMs: 1e9, wholeMs: 1e9 };
    const cache = await start({ maxBytes: MIB, timeouts: never });
    const { path, whole } = await put(40 * MIB, 1);
    const client = download(cache.url, path);
    await client.reached(1);
    client.pause();
    let looks = 0;
    const isHeldUp = (): boolean => clock.pending.includes(10_000);
    await expect.poll(() => (looks = isHeldUp() ? looks + 1 : 0), { interval: 5 }).toBe(20);
    clock.advance(10_000);
    await expect.poll(isHeldUp).toBe(false);
    const asked = upstream.requests.length;
    client.resume();
    expect(await client.done).toEqual(whole);
    const { headers } = upstream.requests[asked]!;
    expect(headers.range).toMatch(/^bytes=\d+-$/);
    expect(cache.survived).toEqual(["files: too large for the budget"]);
  });

  it("is not spent on what is announced and does not come", async () => {
    const cache = await start({ maxBytes: 10 * MIB });
    const held = await Promise.all(Array.from({ length: 8 }, (_, i) => put(MIB, i + 1)));
    for (const { path } of held) await cache.get(path);
    const { path } = await put(10 * MIB, 20);
    const gates = [MIB, 6 * MIB].map((at) => upstream.holdBody(path, at));
    const client = download(cache.url, path);
    await client.reached(MIB - 1);
    expect(cache.blobs.size().entries).toBe(8);
    gates[0]!.release();
    // Of what comes, before all of it is there: 6 MiB, and no more than 4 of what was.
    await expect.poll(() => cache.blobs.size().entries).toBeLessThanOrEqual(4);
    gates[1]!.release();
    await client.done;
    expect(cache.blobs.size()).toEqual({ entries: 1, bytes: 10 * MIB, filling: 0 });
  });

  it("survives being used by two processes at once", async () => {
    const caches = [await start({ maxBytes: 6 * MIB }), await start({ maxBytes: 6 * MIB })];
    const files = await Promise.all(Array.from({ length: 12 }, (_, i) => put(MIB, i + 1)));
    await Promise.all(
      files.map(async ({ path, whole }, i) => {
        expect(await download(caches[i % 2]!.url, path).done).toEqual(whole);
        expect(await download(caches[(i + 1) % 2]!.url, path).done).toEqual(whole);
      }),
    );
    // One may have removed what the other has just stored: a look round mends that.
    await expect
      .poll(async () => {
        await caches[0]!.blobs.lookRound();
        return finished().length - caches[0]!.blobs.size().entries;
      })
      .toBe(0);
    expect(caches[0]!.blobs.size().bytes).toBeLessThanOrEqual(6 * MIB);
    // Of more at once than the budget holds, some pass through.
    const survived = new Set(caches.flatMap((cache) => cache.survived));
    survived.delete("files: too large for the budget");
    expect([...survived]).toEqual([]);
  });
});

describe("no space left on the device", () => {
  it.skipIf(!HAS_SMALL_DISKS)("passes the file through to everybody, whole, with a warning", async () => {
    mount(directory, "3m");
    try {
      const cache = await start();
      const { path, bytes, whole } = await put(8 * MIB, 1);
      // Two are in the middle of what fits when it turns out that the rest does not.
      const gate = upstream.holdBody(path, MIB);
      const clients = [download(cache.url, path), download(cache.url, path)];
      await Promise.all(clients.map((client) => client.reached(MIB)));
      gate.release();
      for (const client of clients) expect(await client.done).toEqual(whole);
      expect(cache.survived).toEqual(["files: disk write"]);
      expect(upstream.requests.slice(1).map((each) => each.headers.range)).toEqual([
        expect.stringMatching(/^bytes=\d{7}-$/),
        expect.stringMatching(/^bytes=\d{7}-$/),
      ]);
      expect((await cache.get(path, { headers: { range: "bytes=-9" } })).body).toEqual(bytes.subarray(-9));
      expect([parts(), cache.blobs.size().entries, cache.broken]).toEqual([[], 0, []]);
      // The space is there again, and small files are stored as ever.
      const small = await put(1000, 2);
      await cache.get(small.path);
      expect((await cache.get(small.path)).cacheStatus).toContain("hit");
      await stop(cache);
    } finally {
      unmount(directory);
    }
  });

  it.skipIf(!HAS_SMALL_DISKS)("does not keep what is held from being served after a start", async () => {
    mount(directory, "3m");
    try {
      const { path, whole } = await put(MIB, 1);
      const first = await start();
      await first.get(path);
      await stop(first);
      fill(directory);
      await upstream.down();
      const second = await start();
      expect(await download(second.url, path).done).toEqual(whole);
      await stop(second);
    } finally {
      unmount(directory);
    }
  });

  it("or a disk that fails otherwise: the same, where the temporary cannot even be made", async () => {
    const cache = await start();
    const { path, whole } = await put(MIB, 1);
    rmSync(join(directory, "files", "tmp"), { recursive: true });
    writeFileSync(join(directory, "files", "tmp"), "in the way of a directory");
    expect(await download(cache.url, path).done).toEqual(whole);
    expect(cache.survived).toEqual(["files: disk write"]);
    expect(cache.broken).toEqual([]);
  });

  it("nor at the end, for the finished name: who waits gets the file, which is not stored", async () => {
    const cache = await start();
    const { path, whole } = await put(MIB, 1);
    const folder = path.split("/")[2] ?? "";
    writeFileSync(join(directory, "files", folder), "in the way of a directory");
    expect(await download(cache.url, path).done).toEqual(whole);
    expect(cache.survived).toEqual(["files: lookup", "files: commit"]);
    expect(parts()).toEqual([]);
    unlinkSync(join(directory, "files", folder));
    expect(await download(cache.url, path).done).toEqual(whole);
    expect((await cache.get(path)).cacheStatus).toContain("hit");
  });
});

describe("the end of the process", () => {
  it("breaks what is under way, and leaves neither temporaries nor locks", async () => {
    const cache = await start();
    const { path } = await put(4 * MIB, 1);
    const gate = upstream.holdBody(path, 2 * MIB);
    const client = download(cache.url, path);
    await client.reached(2 * MIB);
    await stop(cache);
    expect((await client.done).complete).toBe(false);
    expect(namesBelow("tmp")).toEqual([]);
    expect(existsSync(join(directory, "files.sqlite"))).toBe(true);
    gate.release();
  });
});
