import type { BlobKey } from "../blobs/blobs.ts";
import { pause } from "../blobs/pause.ts";
import type { StoredFile } from "../blobs/source.ts";
import type { Clock, Ms } from "../clock.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { Bucket } from "./bucket.ts";

export interface UploadsOptions {
  readonly bucket: Pick<Bucket, "put">;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
  /** Told of each upload that came to its end. */
  readonly onDone?: ((outcome: "stored" | "failed") => void) | undefined;
}

interface Upload {
  readonly key: BlobKey;
  readonly file: StoredFile;
  readonly settle: () => void;
}

// A cold build farm stores faster than a bucket takes; beyond so many waiting, the newest is not uploaded.
const AT_ONCE = 4;
const MOST_WAITING = 10_000;
const WAIT_BEFORE_TRY_MS: readonly Ms[] = [0, 1_000, 10_000, 60_000];

/** Uploads behind the requests that made the files: some at a time, tried again, and given up with a warning. */
export class Uploads {
  readonly #options: UploadsOptions;
  readonly #waiting: Upload[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #ending = new AbortController();

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Resolves when the file is in the bucket, or will not be. Never rejects. */
  add(key: BlobKey, file: StoredFile): Promise<void> {
    return new Promise((resolve) => {
      if (this.#ending.signal.aborted || this.#waiting.length >= MOST_WAITING) {
        this.#giveUp(key, new Error("too many are waiting"));
        resolve();
        return;
      }
      this.#waiting.push({ key, file, settle: resolve });
      this.#next();
    });
  }

  /** Files that are being uploaded or wait for it. */
  size(): number {
    return this.#waiting.length + this.#running.size;
  }

  /** Begins no more, and breaks what is under way after so long. */
  async close(patienceMs: Ms): Promise<void> {
    for (const { settle } of this.#waiting.splice(0)) settle();
    const cancel = this.#options.clock.after(patienceMs, () =>
      this.#ending.abort(new Error("larder is stopping")),
    );
    await Promise.all(this.#running);
    cancel();
    this.#ending.abort(new Error("larder is stopping"));
  }

  #next(): void {
    if (this.#running.size >= AT_ONCE) return;
    const upload = this.#waiting.shift();
    if (upload === undefined) return;
    const running = this.#run(upload).finally(() => {
      this.#running.delete(running);
      upload.settle();
      this.#next();
    });
    this.#running.add(running);
  }

  async #run({ key, file }: Upload): Promise<void> {
    const { bucket, clock, onDone } = this.#options;
    const { signal } = this.#ending;
    let last: unknown;
    for (const waitMs of WAIT_BEFORE_TRY_MS) {
      try {
        await pause(clock, waitMs, signal);
        await bucket.put(key, file, signal);
        onDone?.("stored");
        return;
      } catch (error) {
        last = error;
        if (signal.aborted) break;
      }
    }
    this.#giveUp(key, last);
  }

  #giveUp(key: BlobKey, error: unknown): void {
    this.#options.onSurvived("s3: upload", key.path, error);
    this.#options.onDone?.("failed");
  }
}
