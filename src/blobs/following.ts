import type { FileHandle } from "node:fs/promises";
import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { LeaseEnd } from "../fleet/leases.ts";
import { type Blake2b256, createBlake2b256, resumeBlake2b256 } from "./blake2b.ts";
import { copyFile, type Sink } from "./copy.ts";
import type { BlobReading, Opened } from "./fill.ts";
import { pause } from "./pause.ts";
import { Progress } from "./progress.ts";
import type { BlobFacts } from "./source.ts";
import { Users } from "./users.ts";
import { wrongBytes } from "./wrong-bytes.ts";

/** A part file that another process writes. */
export interface GrowingPart extends BlobFacts {
  readonly bytes: number;
  readonly handle: FileHandle;
}

/** What a fill of another process left, for whoever goes on: proved as far as it is read again and hashed. */
export interface Salvage extends GrowingPart {
  /** Bytes that are there. */
  readonly writtenBytes: number;
}

/**
 * How following came to its end.
 * - `proved`: every byte was read and the hash is right
 * - `ended`: the leader says it is done, and its part was not seen here
 * - `lost`: the leader is gone, and another may lead in its place
 * - `late`: the leader gives nothing, or cannot go on: this process had better go on by itself
 * - `failed`: there are no such bytes to be had; readers have been told
 */
export type FollowEnd = "proved" | "ended" | "lost" | "late" | "failed";

/** Whoever was followed is followed no more; what was read so far holds, and somebody else has the rest. */
export class LeaderGone extends Error {
  override readonly name = "LeaderGone";
}

export interface FollowingOptions {
  /** Hex, 64 digits. */
  readonly blake2b256: string;
  /** The end of the leader's lease. */
  readonly ended: Promise<LeaseEnd>;
  /** Opens the leader's part file; undefined while there is none that can be seen here. */
  readonly openPart: () => Promise<GrowingPart | undefined>;
  /** What was followed before, of which readers may have taken bytes: the new one must begin alike. */
  readonly before: Salvage | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Words with which a leader gives its lease back. */
export const LEADER_WORDS = {
  done: "done",
  /** It could not: upstream failed it, or has no such file. */
  failed: "failed",
  /** It stops or has no room: the bytes are good, and the rest is for others to fetch. */
  left: "left",
} as const;

// Short, for a follower's client to be hardly later than the leader's; longer where nothing has come for a while.
const LOOK_EVERY_MS: Ms = 20;
const LOOK_SLOWLY_MS: Ms = 100;
const SLOWLY_AFTER_MS: Ms = 1_000;

// Clients want their first byte within 10 s (clients.md rule 26), and going on alone takes a while too.
const LATE_AFTER_MS: Ms = 4_000;

/**
 * Reads another process' part file as it grows, for the readers of this one. Every byte is hashed here before it is
 * given on: over a network folder, what another machine is writing may be seen with holes in it.
 */
export class Following {
  readonly done: Promise<FollowEnd>;
  /** Bytes that may be read. */
  writtenBytes = 0;
  #hashedBytes = 0;
  readonly #options: FollowingOptions;
  readonly #progress = new Progress();
  readonly #opened = Promise.withResolvers<GrowingPart>();
  #part: GrowingPart | undefined;
  readonly #users = new Users(() => void this.#part?.handle.close());
  /** For who made it: what was read is no longer needed by the next leader. */
  readonly release = this.#users.enter();
  #end: FollowEnd | undefined;
  #failure: unknown;

  constructor(options: FollowingOptions) {
    this.#options = options;
    this.#opened.promise.catch(() => undefined); // told to whoever joins
    this.done = this.#run();
  }

  /** What may be read of the file, kept open until `release`; undefined for nothing. */
  salvage(): Salvage | undefined {
    if (this.#part === undefined || this.writtenBytes === 0) return undefined;
    return { ...this.#part, writtenBytes: this.writtenBytes };
  }

  /** @throws LeaderGone when it turns out that there is nothing to follow; UpstreamUnavailable */
  async join(): Promise<Opened> {
    const leave = this.#users.enter();
    try {
      const { bytes, contentType, lastModified, date } = await this.#opened.promise;
      return { kind: "opened", reading: this.#reading(bytes, { contentType, lastModified, date }, leave) };
    } catch (error) {
      leave();
      throw error;
    }
  }

  #reading(bytes: number, facts: BlobFacts, close: () => void): BlobReading {
    return {
      bytes,
      facts,
      from: "peer",
      copy: (startAt, endAt, sink, signal) => this.#copy(startAt, endAt, sink, signal),
      close,
    };
  }

  async #run(): Promise<FollowEnd> {
    let end: FollowEnd;
    try {
      end = await this.#follow();
    } catch (error) {
      end = error instanceof UpstreamUnavailable ? "failed" : "late";
      this.#failure = error;
    }
    this.#end = end;
    if (end === "proved" && this.#part !== undefined) this.#opened.resolve(this.#part);
    this.#opened.reject(end === "failed" ? this.#failure : new LeaderGone(end));
    this.#progress.tell();
    return end;
  }

  async #follow(): Promise<FollowEnd> {
    const { clock, signal, before, blake2b256 } = this.#options;
    const hash = await createBlake2b256();
    const alike = before && (await prefixOf(before));
    let leaseEnd: LeaseEnd | undefined;
    const ended = this.#options.ended.then((end) => void (leaseEnd = end));
    let movedAt = clock.now();
    for (;;) {
      signal.throwIfAborted();
      // Asked before looking: what the leader wrote before it ended is then seen.
      const last = leaseEnd;
      this.#part ??= await this.#options.openPart();
      if (this.#part !== undefined && (await this.#readOn(this.#part, hash, alike))) movedAt = clock.now();
      if (this.#part?.bytes === this.writtenBytes) {
        if (hash.digest() !== blake2b256) throw wrongBytes();
        return "proved";
      }
      if (last !== undefined) return this.#endedBy(last);
      const quietMs = clock.now() - movedAt;
      if (quietMs >= LATE_AFTER_MS) return "late";
      const lookAfterMs = quietMs < SLOWLY_AFTER_MS ? LOOK_EVERY_MS : LOOK_SLOWLY_MS;
      await Promise.race([pause(clock, lookAfterMs, signal), ended]);
    }
  }

  #endedBy(end: LeaseEnd): FollowEnd {
    if (end.kind === "lost") return "lost";
    if (end.kind === "late") return "late";
    if (end.word === LEADER_WORDS.left) return "lost";
    if (end.word === LEADER_WORDS.done && this.#part === undefined) return "ended";
    if (this.#part === undefined) return "late";
    // It has used all its tries, and this process' readers have what it had.
    throw new UpstreamUnavailable("truncated", "another larder fetched the file, and could not go on");
  }

  /** Hashes what has come since, and lets it be read. @returns whether anything came */
  async #readOn(part: GrowingPart, hash: Blake2b256, alike: Prefix | undefined): Promise<boolean> {
    const size = Math.min((await part.handle.stat()).size, part.bytes);
    if (size <= this.#hashedBytes) return false;
    await copyFile(part.handle, this.#hashedBytes, size, async (piece) => {
      const before = Math.min(piece.length, Math.max(0, (alike?.bytes ?? 0) - this.#hashedBytes));
      hash.update(piece.subarray(0, before));
      this.#hashedBytes += before;
      if (before > 0 && alike?.bytes === this.#hashedBytes && (await soFar(hash)) !== alike.digest)
        throw wrongBytes();
      hash.update(piece.subarray(before));
      this.#hashedBytes += piece.length - before;
    });
    if (this.#hashedBytes < (alike?.bytes ?? 0)) return true;
    this.writtenBytes = this.#hashedBytes;
    // An empty file has no byte to hold back until it is proved.
    if (part.bytes > 0) this.#opened.resolve(part);
    this.#progress.tell();
    return true;
  }

  async #copy(startAt: number, endAt: number, sink: Sink, signal: AbortSignal): Promise<void> {
    for (let at = startAt; at < endAt;) {
      const upTo = await this.#reached(at, endAt, signal);
      if (this.#part === undefined) throw new TypeError("there is no part to read from");
      await copyFile(this.#part.handle, at, upTo, sink);
      at = upTo;
    }
  }

  /** Waits until bytes after `at` may be read; the last one only when all are proved. */
  async #reached(at: number, endAt: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      const total = this.#part?.bytes ?? 0;
      const readable = this.#end === "proved" ? total : Math.min(this.writtenBytes, total - 1);
      if (readable > at) return Math.min(readable, endAt);
      if (this.#end === "failed") throw this.#failure;
      if (this.#end !== undefined) throw new LeaderGone(this.#end);
      await this.#progress.next(signal);
    }
  }
}

/** The hash of the first so many bytes. */
interface Prefix {
  readonly bytes: number;
  readonly digest: string;
}

async function prefixOf({ handle, writtenBytes }: Salvage): Promise<Prefix> {
  const hash = await createBlake2b256();
  await copyFile(handle, 0, writtenBytes, (piece) => {
    hash.update(piece);
    return Promise.resolve();
  });
  return { bytes: writtenBytes, digest: hash.digest() };
}

/** The digest of what has been hashed, with the hash left as it is. */
async function soFar(hash: Blake2b256): Promise<string> {
  return (await resumeBlake2b256(hash.save())).digest();
}
