import type { Worker } from "node:cluster";
import type { Clock, Ms } from "../clock.ts";
import { NoReply } from "../errors.ts";
import { Desk, Line, type Op, PRIMARY } from "./channel.ts";

// What a worker wrote before its end is read within so long after it.
const LAST_WORDS_MS: Ms = 100;

/** The primary's end of the channel: a line to each worker, and one desk for all of them. */
export class Switchboard {
  /** What the primary answers and hears, by op; with the worker's number. */
  readonly desk = new Desk();
  readonly #clock: Clock;
  readonly #lines = new Map<number, Line>();
  readonly #onGone: ((workerId: number) => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called with every worker as it is forked. */
  connect(worker: Worker): void {
    const { id } = worker;
    const line = new Line({
      desk: this.desk,
      clock: this.#clock,
      peer: id,
      post: (message, sent) => void worker.process.send(message, sent),
      relay: (name, payload, from) => this.#tellAll(name, payload, from),
    });
    this.#lines.set(id, line);
    worker.on("message", (message) => line.receive(message));
    const end = (): void => {
      if (!this.#lines.delete(id)) return;
      line.gone();
      for (const listener of this.#onGone) listener(id);
    };
    // What it wrote before its end has been read by then.
    worker.process.once("disconnect", end);
    // That never comes for one that was killed while a connection was on its way to it.
    worker.process.once("exit", () => void this.#clock.after(LAST_WORDS_MS, end));
  }

  /** The numbers of all workers that can be reached. */
  workerIds(): readonly number[] {
    return [...this.#lines.keys()];
  }

  /** Asks one worker. @throws NoReply as `Line.call` does */
  call<P, R>(workerId: number, asked: Op<P, R>, payload: P, waitMs: Ms): Promise<R> {
    const line = this.#lines.get(workerId);
    if (line === undefined) return Promise.reject(new NoReply(`${asked.name}: worker ${workerId} is gone`));
    return line.call(asked, payload, waitMs);
  }

  /** Tells one worker. */
  tell<P>(workerId: number, told: Op<P>, payload: P): void {
    this.#lines.get(workerId)?.tell(told, payload);
  }

  /** Tells all workers. */
  broadcast<P>(told: Op<P>, payload: P): void {
    this.#tellAll(told.name, payload, PRIMARY);
  }

  /** Called with the number of each worker that is gone, however it ended. */
  onGone(listener: (workerId: number) => void): void {
    this.#onGone.push(listener);
  }

  /** All but whom it comes from. The primary hears it too. */
  #tellAll(name: string, payload: unknown, from: number): void {
    for (const [id, line] of this.#lines) {
      if (id !== from) line.tellNamed(name, payload, from);
    }
    if (from !== PRIMARY) this.desk.deliver(name, payload, from);
  }
}
