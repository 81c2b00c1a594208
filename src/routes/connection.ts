import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { LOCAL } from "../cache/cache-status.ts";
import type { DoneExchange, Exchange, Outcome, WholeReply } from "./exchange.ts";
import { type Head, KEEP_ALIVE_MS } from "./head.ts";
import { HttpSide, STALLED_AFTER_MS } from "./http-side.ts";
import { endsWithHead, type Repeat, type Repeats } from "./repeats.ts";

export interface ConnectionOptions {
  readonly repeats: Repeats | undefined;
  /** Has `node:http` read from it, from now on. */
  readonly parse: (side: HttpSide) => void;
  /** Whether connections are to go on after an answer. */
  readonly mayGoOn: () => boolean;
  /** Called once when a request is over that `node:http` has not read. */
  readonly onDone: (exchange: DoneExchange) => void;
}

/**
 * A client's connection. A request that was read before in the same bytes, and that memory can answer, is answered here and
 * now: with what reads it, writes the answer and looks after both, `node:http` costs more than all the rest of a hit. All
 * other bytes go to `node:http`, which is the only one to judge what a request is.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  #side: HttpSide | undefined;
  /** Whether all that came has been answered: the next byte begins a request. */
  #isBetween = true;
  /** Answers given here that have not left yet. */
  #unsent = 0;
  /** What `node:http` was given last, and how many pieces and requests since it was given any. */
  #piece: Buffer | undefined;
  #pieces = 0;
  #requests = 0;
  /** What it read last; undefined where that was before the last piece. */
  #read: IncomingMessage | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setTimeout(KEEP_ALIVE_MS);
    socket.on("data", (bytes: Buffer) => this.#hear(bytes));
    socket.on("end", () => (this.#side === undefined ? socket.end() : this.#side.push(null)));
    socket.on("error", (error) => this.#side?.destroy(error));
    socket.on("close", () => this.#side?.destroy());
    socket.on("timeout", () => this.#onTimeout());
  }

  /** Whether nothing is under way on it: a client that is told so now has lost nothing. */
  get isIdle(): boolean {
    return this.#unsent === 0 && this.#unanswered === 0 && (this.#isBetween || this.#read?.complete === true);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Requests that `node:http` has read and is not done with. */
  get #unanswered(): number {
    return this.#side?.unanswered ?? 0;
  }

  #hear(bytes: Buffer): void {
    // What came in more than one piece, or together with another, is for `node:http`, until all of it has been answered.
    if (this.#isBetween && this.#unsent === 0 && this.#options.mayGoOn() && this.#repeat(bytes)) return;
    this.#give(bytes);
  }

  /** @returns whether it was a request that came before, and has been answered */
  #repeat(bytes: Buffer): boolean {
    const repeat = this.#options.repeats?.find(bytes, this.#socket);
    if (repeat === undefined) return false;
    const reply = new RepeatReply(this.#socket);
    try {
      if (repeat.serve.ready({ incoming: repeat.incoming, outgoing: reply }) === undefined) return false;
    } catch (error) {
      // Nothing has been sent, and the same will be thrown again, to who answers for faults.
      if (reply.isBegun) throw error;
      return false;
    }
    this.#finish(repeat, reply);
    return true;
  }

  #finish({ incoming }: Repeat, outgoing: RepeatReply): void {
    if (this.#socket.writableLength === 0) {
      outgoing.writableFinished = true;
      this.#options.onDone({ incoming, outgoing });
      return;
    }
    this.#unsent += 1;
    // What is written after it is told of when it has left.
    this.#socket.write("", (error) => {
      this.#unsent -= 1;
      this.#socket.setTimeout(KEEP_ALIVE_MS);
      outgoing.writableFinished = error == null;
      this.#options.onDone({ incoming, outgoing });
    });
  }

  #give(bytes: Buffer): void {
    if (this.#isBetween) this.#pieces = this.#requests = 0;
    this.#isBetween = false;
    this.#piece = bytes;
    this.#pieces += 1;
    this.#read = undefined;
    this.#side ??= this.#open();
    if (!this.#side.push(bytes)) this.#socket.pause();
  }

  #open(): HttpSide {
    const side = new HttpSide(this.#socket, {
      onRequest: ({ incoming }) => {
        this.#requests += 1;
        this.#read = incoming;
      },
      onDone: (exchange) => this.#onDone(exchange),
    });
    this.#options.parse(side);
    return side;
  }

  #onDone(exchange: Exchange): void {
    const piece = this.#piece;
    if (this.#unanswered > 0 || piece === undefined || this.#read === undefined) return;
    // What came after it was no request: there will be none any more.
    if (this.#side?.writable !== true) return;
    // Nothing of a next request can have come where a head without a body ends the last piece.
    if (!endsWithHead(this.#read.headers) || !piece.subarray(-4).equals(END_OF_HEAD)) return;
    this.#isBetween = true;
    this.#piece = undefined;
    const { repeatable } = exchange.outgoing;
    if (this.#pieces === 1 && this.#requests === 1 && repeatable !== undefined)
      this.#options.repeats?.remember(piece, exchange, repeatable);
  }

  /** Nothing came and nothing left for as long as its timer runs. Node counts each byte that leaves, of a piece too. */
  #onTimeout(): void {
    if (this.#unsent > 0 || this.#unanswered > 0) this.#onStill();
    else if (this.#side === undefined) this.#socket.destroy();
    else this.#side.emit("timeout");
  }

  /** An answer that is being made may take its time, one that is being taken its client's, within reason. */
  #onStill(): void {
    if (this.#socket.timeout === STALLED_AFTER_MS && this.#socket.writableLength > 0) this.#socket.destroy();
    else this.#socket.setTimeout(STALLED_AFTER_MS);
  }
}

const END_OF_HEAD = Buffer.from("\r\n\r\n");

/** Where the answer to a repeat goes: straight to the socket. */
class RepeatReply implements WholeReply {
  readonly outcome: Outcome = { route: "none", cacheStatus: LOCAL };
  readonly startedAtMs = performance.now();
  statusCode = 0;
  isBegun = false;
  writableFinished = false;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  sendWhole(head: Head, body: Buffer | string | undefined): void {
    const { block, status } = head;
    this.statusCode = status;
    this.isBegun = true;
    if (body === undefined) {
      this.#socket.write(block, "latin1");
    } else if (typeof body === "string") {
      this.#socket.write(block + body, "latin1");
    } else {
      this.#socket.cork();
      this.#socket.write(block, "latin1");
      this.#socket.write(body);
      this.#socket.uncork();
    }
  }
}
