import type { FileHandle } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { type Blake2b256, createBlake2b256, resumeBlake2b256 } from "./blake2b.ts";
import { continuedBody } from "./continued-body.ts";
import { copyFile, type Sink } from "./copy.ts";
import { copyThrough } from "./copy-through.ts";
import { Progress } from "./progress.ts";
import type { BlobFacts, Source, SourceAbsent, SourceStream } from "./source.ts";
import { Users } from "./users.ts";
import { wrongBytes } from "./wrong-bytes.ts";

/** A file that can be read: held on disk, or still coming. Must be closed. */
export interface BlobReading {
  readonly bytes: number;
  readonly facts: BlobFacts;
  /**
   * Where the bytes come from now: "disk", "fill" (to be stored), "peer" (another process fetches or fetched them), or
   * "upstream" (passed through, not stored).
   */
  readonly from: "disk" | "fill" | "peer" | "upstream";
  /** Its path below the directory of files, where it is whole on this disk: hexadecimal digits, a slash and a hyphen. */
  readonly name?: string;
  /**
   * Copies the bytes [`startAt`, `endAt`) at the pace of `sink`. Of a file that is still coming, the last byte is
   * given only when the whole is proved: nobody can take for whole what is not.
   *
   * @throws UpstreamUnavailable when the rest does not come or the bytes are wrong; the signal's reason; whatever
   *   `sink` rejects with
   */
  copy(startAt: number, endAt: number, sink: Sink, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** What a fill found, once upstream has answered. */
export type Opened = { readonly kind: "opened"; readonly reading: BlobReading } | SourceAbsent;

/** How a fill ended. */
export type FillOutcome = "stored" | "not-stored" | "passed-through" | "absent" | "failed";

/** What a fill needs of the store that it is for. */
export interface FillPlace {
  /** Whether room can be made for so many bytes as they come; undefined where it is not known how many. */
  admit(bytes: number | undefined): boolean;
  /** A new file for the bytes, open for reading and writing. @param bytes undefined where it is not known how many */
  create(facts: BlobFacts, bytes: number | undefined): Promise<FileHandle>;
  /** So many bytes are written by now. */
  grow(bytes: number): Promise<void>;
  /** Makes the file that was created visible. @returns false where that failed, which has been reported */
  commit(facts: BlobFacts, bytes: number): Promise<boolean>;
  /** Removes the file that was created. */
  discard(): Promise<void>;
  /** There is no room on the device, or it fails: a failure that is survived. */
  onUnwritable(error: unknown): void;
  onBroken(startAt: number, error: UpstreamUnavailable): void;
}

export interface FillOptions {
  /** Hex, 64 digits. */
  readonly blake2b256: string;
  readonly source: Source;
  readonly place: FillPlace;
  readonly clock: Clock;
  /** Ends the fill, with its reason as the error. */
  readonly signal: AbortSignal;
}

/** The disk failed, not upstream. */
class Unwritable extends Error {
  override readonly name = "Unwritable";
}

/**
 * One download of a file, for all who want it. It belongs to none of them: it goes on when they leave, at the speed of
 * upstream and disk, and each reads what has come at a speed of his own.
 */
export class Fill {
  /** How it ended. Never rejects. */
  readonly done: Promise<FillOutcome>;
  /** Bytes written so far. */
  writtenBytes = 0;
  readonly #options: FillOptions;
  readonly #progress = new Progress();
  readonly #opened = Promise.withResolvers<BlobFacts | SourceAbsent>();
  #totalBytes: number | undefined;
  #handle: FileHandle | undefined;
  /** Who may still read from the handle: the readers, and the fill itself. */
  readonly #users = new Users(() => void this.#handle?.close());
  readonly #leave = this.#users.enter();
  #verified = false;
  #failure: { readonly error: unknown } | undefined;
  /** From where on each reads from upstream himself, and the hash of what comes before. */
  #through: { readonly from: number; readonly hash: Uint8Array } | undefined;

  constructor(options: FillOptions) {
    this.#options = options;
    this.#opened.promise.catch(nothing); // may fail with nobody there yet
    this.done = this.#run();
  }

  /**
   * Joins it. Resolves when upstream has answered and the length is known.
   *
   * @throws UpstreamUnavailable when upstream has no answer
   */
  async join(): Promise<Opened> {
    const leave = this.#users.enter();
    try {
      const opened = await this.#opened.promise;
      if (!("status" in opened)) return { kind: "opened", reading: this.#reading(opened, leave) };
      leave();
      return opened;
    } catch (error) {
      leave();
      throw error;
    }
  }

  #reading(facts: BlobFacts, close: () => void): BlobReading {
    return {
      bytes: this.#totalBytes ?? 0,
      facts,
      from: this.#through === undefined ? "fill" : "upstream",
      copy: (startAt, endAt, sink, signal) => this.#copy(startAt, endAt, sink, signal),
      close,
    };
  }

  async #run(): Promise<FillOutcome> {
    const { place, source } = this.#options;
    try {
      const first = await source.open(0, false);
      if (first.kind === "absent") {
        this.#opened.resolve(first);
        return "absent";
      }
      return await this.#receive(first);
    } catch (error) {
      this.#failure = { error };
      if (error instanceof UpstreamUnavailable && error.failure === "wrong-bytes") source.refuse?.();
      await place.discard();
      this.#opened.reject(error);
      return "failed";
    } finally {
      this.#progress.tell();
      this.#leave();
    }
  }

  async #receive(first: SourceStream): Promise<FillOutcome> {
    const { place } = this.#options;
    const { contentType, lastModified, date, totalBytes } = first;
    const facts = { contentType, lastModified, date };
    const hash = await createBlake2b256();
    this.#totalBytes = totalBytes;
    try {
      if (!place.admit(totalBytes)) return await this.#passThrough(first, facts, hash);
      // What is given to nobody here before it is proved is not for other processes to follow either.
      const toldBytes = first.isProvedFirst === true ? undefined : totalBytes;
      this.#handle = await this.#writing(() => place.create(facts, toldBytes));
      // An empty file has no byte to hold back until it is proved, and one of unknown length no length to announce.
      const mayOpen = totalBytes !== undefined && totalBytes > 0 && first.isProvedFirst !== true;
      if (mayOpen) this.#opened.resolve(facts);
      await this.#write(first, this.#handle, hash);
    } catch (error) {
      first.body.destroy();
      if (!(error instanceof Unwritable)) throw error;
      place.onUnwritable(error.cause);
      return await this.#passThrough(first, facts, hash);
    }
    const bytes = this.#totalBytes ?? this.writtenBytes;
    this.#prove(hash, bytes);
    const isStored = await place.commit(facts, bytes);
    if (!isStored) await place.discard();
    this.#totalBytes = bytes;
    this.#verified = true;
    this.#opened.resolve(facts);
    return isStored ? "stored" : "not-stored";
  }

  async #write(first: SourceStream, handle: FileHandle, hash: Blake2b256): Promise<void> {
    for await (const chunk of continuedBody(first, 0, this.#continuation())) {
      if (this.writtenBytes + chunk.length > (this.#totalBytes ?? Number.POSITIVE_INFINITY)) {
        throw wrongBytes("more bytes came than were announced");
      }
      await this.#writing(() => writeWhole(handle, chunk, this.writtenBytes));
      hash.update(chunk);
      this.writtenBytes += chunk.length;
      this.#progress.tell();
      await this.#options.place.grow(this.writtenBytes);
    }
  }

  async #writing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new Unwritable("the file cannot be written", { cause: error });
    }
  }

  #prove(hash: Blake2b256, bytes: number): void {
    if (this.writtenBytes !== bytes) throw wrongBytes(`${this.writtenBytes} of ${bytes} bytes came`);
    if (hash.digest() !== this.#options.blake2b256) throw wrongBytes();
  }

  /** Nothing is stored: what is written so far can be read until its readers are past it. */
  async #passThrough(first: SourceStream, facts: BlobFacts, hash: Blake2b256): Promise<FillOutcome> {
    first.body.destroy();
    await this.#options.place.discard();
    if (this.#totalBytes === undefined) {
      throw new UpstreamUnavailable("too-large", "a file of unknown length cannot be passed through");
    }
    this.#through = { from: this.writtenBytes, hash: hash.save() };
    this.#opened.resolve(facts);
    return "passed-through";
  }

  async #copy(startAt: number, endAt: number, sink: Sink, signal: AbortSignal): Promise<void> {
    for (let at = startAt; at < endAt;) {
      const upTo = await this.#reached(at, endAt, signal);
      if (upTo === undefined) {
        await this.#copyThrough(at, endAt, sink, signal);
        return;
      }
      if (this.#handle === undefined) throw new TypeError("bytes were written to no file");
      await copyFile(this.#handle, at, upTo, sink);
      at = upTo;
    }
  }

  /** Waits until bytes after `at` may be read. @returns up to where; undefined when they are to be had upstream only */
  async #reached(at: number, endAt: number, signal: AbortSignal): Promise<number | undefined> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure.error;
      const total = this.#totalBytes ?? 0;
      const readable = this.#verified ? total : Math.min(this.writtenBytes, total - 1);
      if (readable > at) return Math.min(readable, endAt);
      if (this.#through !== undefined) return undefined;
      await this.#progress.next(signal);
    }
  }

  /** Proved at the end where the reader has read all that came before. */
  async #copyThrough(startAt: number, endAt: number, sink: Sink, signal: AbortSignal): Promise<void> {
    const { blake2b256 } = this.#options;
    const totalBytes = this.#totalBytes ?? 0;
    const through = this.#through;
    const hash =
      through?.from === startAt && endAt === totalBytes ? await resumeBlake2b256(through.hash) : undefined;
    await copyThrough(startAt, endAt, sink, {
      ...this.#continuation(),
      totalBytes,
      hash,
      blake2b256,
      signal,
    });
  }

  #continuation() {
    const { source, clock, signal, place } = this.#options;
    const onBroken = (startAt: number, error: UpstreamUnavailable): void => place.onBroken(startAt, error);
    return { source, clock, signal, totalBytes: this.#totalBytes, onBroken };
  }
}

async function writeWhole(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

function nothing(): void {
  // Told to whoever joins.
}
