import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Ms } from "../clock.ts";
import type { Exchange, Outgoing } from "./exchange.ts";

/** A client that has taken nothing of its answer for so long is gone, or holds a connection for nothing. */
export const STALLED_AFTER_MS: Ms = 600_000;

export interface HttpSideOptions {
  readonly onRequest: (exchange: Exchange) => void;
  readonly onDone: (exchange: Exchange) => void;
}

/**
 * A client's socket as `node:http` has it: what it is given to read is what was looked at before, and what it writes goes
 * out. `http.Server` takes any Duplex for a connection.
 */
export class HttpSide extends Duplex {
  readonly #socket: Socket;
  readonly #told: HttpSideOptions;
  /** Answers that `node:http` is not done with, in the order of their requests. */
  readonly #underWay = new Set<Outgoing>();

  constructor(socket: Socket, told: HttpSideOptions) {
    super();
    this.#socket = socket;
    this.#told = told;
  }

  /** `node:http` has read a request from it. */
  began(exchange: Exchange): void {
    this.#underWay.add(exchange.outgoing);
    this.#told.onRequest(exchange);
  }

  /** The end of that: its answer has left, or never will. */
  ended(exchange: Exchange): void {
    this.#underWay.delete(exchange.outgoing);
    this.#told.onDone(exchange);
  }

  /** Requests that have no answer yet, or not all of it. */
  get unanswered(): number {
    return this.#underWay.size;
  }

  /** Whether what is written now comes after all answers: none has been begun alone, and none waits for another. */
  get isBetweenAnswers(): boolean {
    const [first, ...others] = this.#underWay;
    return others.length === 0 && (first === undefined || first.writableEnded);
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  /** Node's way to end the connection once an answer has left. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** @param ms 0, by which Node means for ever, while an answer is under way */
  setTimeout(ms: Ms): this {
    this.#socket.setTimeout(ms === 0 ? STALLED_AFTER_MS : ms);
    return this;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    const end = once(done);
    this.#socket.write(chunk, encoding, end);
    if (isSent(this.#socket)) end();
  }

  override _writev(chunks: { chunk: Buffer | string; encoding: BufferEncoding }[], done: Done): void {
    const end = once(done);
    this.#socket.cork();
    for (const [i, { chunk, encoding }] of chunks.entries()) {
      if (i < chunks.length - 1) this.#socket.write(chunk, encoding);
      else this.#socket.write(chunk, encoding, end);
    }
    this.#socket.uncork();
    if (isSent(this.#socket)) end();
  }

  override _final(done: Done): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy();
    done(error);
  }
}

type Done = (error?: Error | null) => void;

/** Most often all has left when `write` returns; its callback tells so a turn later, and what waits for it with it. */
function isSent({ writableLength, destroyed }: Socket): boolean {
  return writableLength === 0 && !destroyed;
}

function once(done: Done): Done {
  let isDone = false;
  return (error) => {
    if (!isDone) done(error);
    isDone = true;
  };
}
