import { Worker } from "node:worker_threads";
import type { OnSurvived } from "./survived.ts";

/** So much is written to the log before it is moved into the file. */
const CHECKPOINT_EVERY_BYTES = 4 * 1024 * 1024;
/** What a transaction writes beside bodies: the pages of rows and indexes that it touches, roughly. */
const TRANSACTION_BYTES = 64 * 1024;

/**
 * Moves SQLite's write-ahead log into the file, off the event loop: a checkpoint is what waits for the disk (fsync
 * took up to 140 ms on a busy one), while writing to the log does not. If its thread fails, the connection's own
 * `wal_autocheckpoint` keeps the log bounded.
 */
export class Checkpointer {
  readonly #file: string;
  readonly #onSurvived: OnSurvived;
  #worker: Worker | undefined;
  #isUnderWay = false;
  /** Something was written since the one that is under way began, and is to be moved, too. */
  #isWantedAgain = false;
  #hasFailed = false;
  #pendingBytes = 0;

  constructor(file: string, onSurvived: OnSurvived) {
    this.#file = file;
    this.#onSurvived = onSurvived;
  }

  /** Takes note of a transaction that wrote so many bytes of bodies. */
  wrote(bodyBytes: number): void {
    this.#pendingBytes += TRANSACTION_BYTES + bodyBytes;
    if (this.#pendingBytes >= CHECKPOINT_EVERY_BYTES) this.run();
  }

  /** Makes a checkpoint now, or when the one that is under way is done: that may have begun too early. */
  run(): void {
    if (this.#hasFailed) return;
    this.#isWantedAgain = this.#isUnderWay;
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    this.#pendingBytes = 0;
    this.#worker ??= this.#start();
    this.#worker.postMessage("checkpoint");
  }

  /** Ends the thread, after the checkpoint that is under way. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#hasFailed = true;
    if (worker === undefined) return;
    // Not `once`: that rejects on the thread's error, which `onSurvived` has told of already.
    const gone = new Promise<void>((resolve) => {
      worker.once("exit", () => resolve());
      worker.once("error", () => resolve());
    });
    worker.ref();
    worker.postMessage("close");
    await gone;
  }

  /** Whether there is a thread to be ended. */
  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  #start(): Worker {
    const script = new URL("embedded-checkpoint-worker.js", import.meta.url);
    const worker = new Worker(script, { workerData: this.#file, execArgv: [] });
    worker.unref();
    worker.on("message", () => {
      this.#isUnderWay = false;
      if (this.#isWantedAgain) this.run();
    });
    worker.on("error", (error) => {
      this.#hasFailed = true;
      this.#worker = undefined;
      this.#onSurvived("store: checkpoint", this.#file, error);
    });
    return worker;
  }
}
