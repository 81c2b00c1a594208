import { Readable } from "node:stream";
import type { BlobKey } from "../blobs/blobs.ts";
import type { BlobFacts, SourceStream, StoredFile } from "../blobs/source.ts";
import type { Clock, EpochMs, Ms } from "../clock.ts";
import { parseHttpDate } from "../http-date.ts";
import type { OnSurvived } from "../store/survived.ts";
import { readContentRange } from "../upstream/content-range.ts";
import { type BucketTrouble, loadSdk, type Sdk, troubleOf } from "./sdk.ts";
import { steadyBody } from "./steady-body.ts";
import type { S3Target } from "./target.ts";

export interface BucketOptions {
  readonly target: S3Target;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
}

/** What an object is, without its bytes. */
export interface ObjectHead extends BlobFacts {
  readonly bytes: number;
}

// A client's first byte is due within 10 s (clients.md rule 26), and upstream may have to be asked after this.
const HEAD_BUDGET_MS: Ms = 2_000;
const BETWEEN_BYTES_MS: Ms = 5_000;
// Of an object of which nothing is given before all of it is proved; upstream has the rest then.
const PROVED_FIRST_WHOLE_MS: Ms = 5_000;

// After trouble the bucket is left alone, so that not each miss waits for it: at first for so long, then twice.
const FIRST_REST_MS: Ms = 1_000;
const LONGEST_REST_MS: Ms = 30_000;

/** Objects up to this size are proved before a byte of them is given: where one is wrong, nobody notices. */
const PROVED_FIRST_BYTES = 32 * 1024 * 1024;

/** How long a URL that a client is sent to may be used. */
const PRESIGNED_SECONDS = 60;

// Of wrong bytes, until their object is gone.
const MOST_REFUSED = 10_000;

/**
 * Files in an S3-compatible bucket, which outlives the nodes and is shared by them. Whatever is wrong with it is not the
 * clients' trouble: it is then as if it held nothing.
 */
export class Bucket {
  readonly #options: BucketOptions;
  readonly #sdk: Promise<Sdk>;
  /** Path -> when its object is removed, or could not be. */
  readonly #refused = new Map<string, Promise<unknown>>();
  #restMs: Ms = 0;
  #restUntil: EpochMs = 0;

  constructor(options: BucketOptions) {
    this.#options = options;
    this.#sdk = loadSdk(options.target);
    this.#sdk.catch(() => undefined); // told to whoever asks
  }

  /**
   * Opens an object from `startAt` to its end.
   * @returns undefined where there is none, or where the bucket is in trouble
   */
  async open(key: BlobKey, startAt: number): Promise<SourceStream | undefined> {
    const { clock } = this.#options;
    if (this.#refused.has(key.path)) return undefined;
    const answer = await this.#ask("s3: get", key, async ({ client, s3 }, signal) => {
      const range = startAt === 0 ? {} : { Range: `bytes=${startAt}-` };
      return await client.send(new s3.GetObjectCommand({ ...this.#object(key), ...range }), {
        abortSignal: signal,
      });
    });
    if (!(answer?.Body instanceof Readable)) return undefined;
    const span =
      startAt === 0
        ? { startAt: 0, totalBytes: answer.ContentLength }
        : readContentRange(answer.ContentRange);
    if (span === undefined) {
      answer.Body.destroy();
      return undefined;
    }
    const isProvedFirst = span.totalBytes !== undefined && span.totalBytes <= PROVED_FIRST_BYTES;
    const wholeMs = isProvedFirst && startAt === 0 ? PROVED_FIRST_WHOLE_MS : undefined;
    const body = steadyBody(answer.Body, clock, BETWEEN_BYTES_MS, wholeMs);
    return { kind: "stream", ...span, ...factsOf(answer), isProvedFirst, body };
  }

  /** @returns undefined where there is no such object, or where the bucket is in trouble */
  async head(key: BlobKey): Promise<ObjectHead | undefined> {
    if (this.#refused.has(key.path)) return undefined;
    const answer = await this.#ask("s3: head", key, async ({ client, s3 }, signal) =>
      client.send(new s3.HeadObjectCommand(this.#object(key)), { abortSignal: signal }),
    );
    if (answer?.ContentLength === undefined) return undefined;
    return { bytes: answer.ContentLength, ...factsOf(answer) };
  }

  /** A URL that anybody may GET an object by, for a minute. It is a secret for as long. */
  async presign(key: BlobKey): Promise<string | undefined> {
    return await this.#ask("s3: presign", key, async ({ client, s3, presigner }) =>
      presigner.getSignedUrl(client, new s3.GetObjectCommand(this.#object(key)), {
        expiresIn: PRESIGNED_SECONDS,
      }),
    );
  }

  /**
   * Uploads a file, in parts where it is large. Parts of one that fails are removed.
   * @throws BucketTrouble
   */
  async put(key: BlobKey, file: StoredFile, signal: AbortSignal): Promise<void> {
    await this.#refused.get(key.path);
    const handle = await file.open();
    if (handle === undefined) return; // evicted meanwhile
    // With its end: lib-storage counts the parts by that.
    const end = Math.max(0, file.bytes - 1);
    const body = handle.createReadStream({ start: 0, end, highWaterMark: 1024 * 1024 });
    try {
      const { client, storage } = await this.#sdk;
      const { contentType, lastModified, date, bytes } = file;
      const upload = new storage.Upload({
        client,
        params: {
          ...this.#object(key),
          Body: body,
          ContentType: contentType,
          CacheControl: "max-age=365000000, immutable, public",
          Metadata: { date, ...(lastModified !== undefined && { "last-modified": lastModified }) },
          ...(bytes <= PART_BYTES && { ContentLength: bytes }),
        },
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
      });
      const abort = (): void => void upload.abort();
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) abort();
      await upload.done().finally(() => signal.removeEventListener("abort", abort));
      this.#refused.delete(key.path);
    } catch (error) {
      throw troubleOf(error);
    } finally {
      body.destroy();
    }
  }

  /** An object's bytes are wrong: it is asked for no more, and removed. */
  refuse(key: BlobKey): void {
    const removed = this.#ask("s3: remove", key, async ({ client, s3 }, signal) =>
      client.send(new s3.DeleteObjectCommand(this.#object(key)), { abortSignal: signal }),
    );
    if (this.#refused.size < MOST_REFUSED) this.#refused.set(key.path, removed);
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    const sdk = await this.#sdk.catch(() => undefined);
    sdk?.client.destroy();
  }

  #object({ path }: BlobKey): { Bucket: string; Key: string } {
    const { bucket, prefix } = this.#options.target;
    return { Bucket: bucket, Key: prefix === "" ? path.slice(1) : prefix + path };
  }

  async #ask<T>(
    what: string,
    key: BlobKey,
    work: (sdk: Sdk, signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const { clock, onSurvived } = this.#options;
    const restLeftMs = this.#restUntil - clock.now();
    if (restLeftMs > 0 && restLeftMs <= LONGEST_REST_MS) return undefined; // longer: the clock was set back
    const late = new AbortController();
    const cancel = clock.after(HEAD_BUDGET_MS, () => late.abort());
    try {
      const given = await work(await this.#sdk, late.signal);
      this.#restMs = 0;
      return given;
    } catch (error) {
      const trouble = troubleOf(error);
      if (trouble.isMissing) return undefined;
      this.#rest(trouble);
      onSurvived(what, key.path, trouble);
      return undefined;
    } finally {
      cancel();
    }
  }

  #rest({ status }: BucketTrouble): void {
    // It answers, and says no to this object: the others are not to suffer for it.
    if (status !== undefined && status < 500 && status !== 429 && status !== 403) return;
    this.#restMs = Math.min(LONGEST_REST_MS, Math.max(FIRST_REST_MS, this.#restMs * 2));
    this.#restUntil = this.#options.clock.now() + this.#restMs;
  }
}

const PART_BYTES = 16 * 1024 * 1024;
const PARTS_AT_ONCE = 2;

interface Described {
  readonly ContentType?: string | undefined;
  readonly LastModified?: Date | undefined;
  readonly Metadata?: Readonly<Record<string, string>> | undefined;
}

function factsOf({ ContentType, LastModified, Metadata }: Described): BlobFacts {
  const known = (name: string): string | undefined => {
    const value = Metadata?.[name];
    // A date and nothing else: it goes into a header.
    return value !== undefined && parseHttpDate(value) !== undefined ? value : undefined;
  };
  return {
    contentType: ContentType ?? "application/octet-stream",
    lastModified: known("last-modified"),
    // An object that somebody else has put there: when S3 got it is the best that is known.
    date: known("date") ?? (LastModified ?? new Date(0)).toUTCString(),
  };
}
