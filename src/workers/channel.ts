import type { Clock, Ms } from "../clock.ts";
import { NoReply } from "../errors.ts";
import { decodeMessage, type Message } from "./message.ts";

/**
 * The name of what is asked or told, and the types that go with it. Payloads and answers are JSON: no `undefined` in
 * arrays, no Infinity, no Date, no bytes. Both ends run the same program, so they are not decoded again.
 */
export interface Op<P, R = void> {
  readonly name: string;
  /** Never there: it only carries the types. */
  readonly types?: (payload: P) => R;
}

/** Makes an op; its name is its own in the whole program. */
export function op<P, R = void>(name: string): Op<P, R> {
  return { name };
}

/** Which process: a worker's number, which no other has after it; or the primary. */
export type From = number;
export const PRIMARY: From = 0;

type Answerer = (payload: unknown, from: From) => unknown;
type Listener = (payload: unknown, from: From) => void;

/** What this process answers, and what it listens to: one for all the lines that it has. */
export class Desk {
  readonly #answerers = new Map<string, Answerer>();
  readonly #listeners = new Map<string, Set<Listener>>();

  /** Answers a call; what the handler throws reaches the caller as `NoReply`, with its message. */
  answer<P, R>(asked: Op<P, R>, handler: (payload: P, from: From) => R | Promise<R>): void {
    this.#answerers.set(asked.name, handler as Answerer);
  }

  /** Hears what is told. @returns how to hear no more */
  hear<P>(told: Op<P>, listener: (payload: P, from: From) => void): () => void {
    const listeners = this.#listeners.get(told.name) ?? new Set();
    this.#listeners.set(told.name, listeners.add(listener as Listener));
    return () => void listeners.delete(listener as Listener);
  }

  /** @throws NoReply when nobody here answers that */
  reply(name: string, payload: unknown, from: From): unknown {
    const answerer = this.#answerers.get(name);
    if (answerer === undefined) throw new NoReply(`${name}: nobody answers that`);
    return answerer(payload, from);
  }

  deliver(name: string, payload: unknown, from: From): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(payload, from);
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: NoReply) => void;
  readonly cancel: () => void;
}

export interface LineOptions {
  readonly desk: Desk;
  readonly clock: Clock;
  /** Who is at the other end. */
  readonly peer: From;
  /** Sends; `sent` is called when it is out of this process, or will never be. */
  readonly post: (message: Message, sent: () => void) => void;
  /** Passes on what a worker tells all the others; absent in a worker. */
  readonly relay?: (name: string, payload: unknown, from: From) => void;
}

// A process that is paused reads nothing. What is told is lost then (news may be), and what is asked fails.
const MAX_UNSENT = 10_000;

/** One end of the line between the primary and one of its workers: calls with answers, and news without. */
export class Line {
  readonly #options: LineOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onGone: (() => void)[] = [];
  #calls = 0;
  #unsent = 0;
  #isGone = false;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  /**
   * Asks the other end.
   * @param waitMs longest wait for the answer
   * @throws NoReply when the other end is gone, does not answer in time, or failed at it
   */
  call<P, R>(asked: Op<P, R>, payload: P, waitMs: Ms): Promise<R> {
    const id = (this.#calls += 1);
    return new Promise<R>((resolve, reject) => {
      const fail = (why: string): void => reject(new NoReply(`${asked.name}: ${why}`));
      if (!this.#post({ is: "call", id, op: asked.name, payload })) {
        fail("the other process is not there");
        return;
      }
      const late = (): void => {
        this.#waiting.delete(id);
        fail(`no answer within ${waitMs} ms`);
      };
      const cancel = this.#options.clock.after(waitMs, late);
      this.#waiting.set(id, { resolve: (value) => resolve(value as R), reject, cancel });
    });
  }

  /** Tells the other end; lost when it is gone. */
  tell<P>(told: Op<P>, payload: P): void {
    this.tellNamed(told.name, payload, PRIMARY);
  }

  /** As `tell`, for what is passed on. */
  tellNamed(name: string, payload: unknown, from: From): void {
    this.#post({ is: "tell", op: name, payload, from });
  }

  /** Tells all other workers, through the primary. */
  tellOthers<P>(told: Op<P>, payload: P): void {
    this.#post({ is: "relay", op: told.name, payload });
  }

  /** Called when the other process is gone; at once where it is already. */
  onGone(listener: () => void): void {
    if (this.#isGone) listener();
    else this.#onGone.push(listener);
  }

  /** To be called with all that comes in. What is not the channel's is left alone. */
  receive(given: unknown): void {
    const message = this.#isGone ? undefined : decodeMessage(given);
    if (message === undefined) return;
    const { desk, peer, relay } = this.#options;
    if (message.is === "call") void this.#answer(message.id, message.op, message.payload);
    else if (message.is === "answer") this.#settle(message.id)?.resolve(message.value);
    else if (message.is === "fault") this.#settle(message.id)?.reject(new NoReply(message.reason));
    else if (message.is === "relay") relay?.(message.op, message.payload, peer);
    // Only the primary can know who said it.
    else desk.deliver(message.op, message.payload, peer === PRIMARY ? message.from : peer);
  }

  /** To be called when the other process is gone: fails every call that waits. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    for (const id of [...this.#waiting.keys()])
      this.#settle(id)?.reject(new NoReply("the other process is gone"));
    for (const listener of this.#onGone.splice(0)) listener();
  }

  async #answer(id: number, name: string, payload: unknown): Promise<void> {
    try {
      const value = await this.#options.desk.reply(name, payload, this.#options.peer);
      this.#post({ is: "answer", id, value });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#post({ is: "fault", id, reason });
    }
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.cancel();
    return waiting;
  }

  #post(message: Message): boolean {
    if (this.#isGone || this.#unsent >= MAX_UNSENT) return false;
    this.#unsent += 1;
    this.#options.post(message, () => (this.#unsent -= 1));
    return true;
  }
}
