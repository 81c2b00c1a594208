import type { CacheStatus } from "../cache/cache-status.ts";
import type { Clock, EpochMs, Ms } from "../clock.ts";
import type { ByteRange } from "./byte-ranges.ts";
import type { Exchange, Outgoing } from "./exchange.ts";
import { renderFields } from "./send.ts";

/** Bytes that may still be coming. */
export interface Readable {
  copy(
    startAt: number,
    endAt: number,
    sink: (piece: Buffer) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** An answer whose body is not held in memory. */
export interface FileReply {
  readonly status: 200 | 206;
  /** Name, value, name, value; Content-Length among them. */
  readonly fields: readonly string[];
  readonly cacheStatus: CacheStatus;
  readonly date: string;
  readonly reading: Readable;
  /** What the body is made of: bytes as they are, and parts of the file. */
  readonly pieces: readonly (Buffer | ByteRange)[];
  readonly clock: Clock;
}

// A client that has taken nothing for so long is gone, or holds a connection for nothing.
const STALLED_AFTER_MS: Ms = 600_000;

/**
 * Sends the head at once, so that the client sees life, and then the body at the client's own speed: no more of it is
 * in memory than one piece.
 *
 * @throws whatever the body fails with, or that the client went away; the response is then for the caller to destroy
 */
export async function sendFile({ outgoing }: Exchange, route: string, reply: FileReply): Promise<void> {
  outgoing.outcome.route = route;
  outgoing.outcome.cacheStatus = reply.cacheStatus;
  outgoing.writeHead(reply.status, renderFields(reply));
  outgoing.flushHeaders();
  const gone = new AbortController();
  const writing = new Writing(outgoing, reply.clock);
  const onClose = (): void => {
    const error = new Error("the client went away");
    gone.abort(error);
    writing.fail(error);
  };
  outgoing.once("close", onClose);
  if (outgoing.destroyed) onClose();
  const sink = (piece: Buffer): Promise<void> => writing.write(piece);
  try {
    for (const piece of reply.pieces) {
      if (Buffer.isBuffer(piece)) await sink(piece);
      else await reply.reading.copy(piece.startAt, piece.endAt, sink, gone.signal);
    }
  } finally {
    writing.end();
  }
  outgoing.off("close", onClose);
  outgoing.end();
}

/** The pieces of one body, each written when the one before has left this process. One timer watches over all. */
class Writing {
  readonly #outgoing: Outgoing;
  readonly #clock: Clock;
  #reject: ((error: Error) => void) | undefined;
  #failure: Error | undefined;
  #begunAt: EpochMs;
  #cancel: () => void = () => undefined;

  constructor(outgoing: Outgoing, clock: Clock) {
    this.#outgoing = outgoing;
    this.#clock = clock;
    this.#begunAt = clock.now();
    this.#watch(STALLED_AFTER_MS);
  }

  /** Resolves when the piece has left. */
  write(piece: Buffer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#begunAt = this.#clock.now();
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#outgoing.write(piece, (error) => {
        this.#reject = undefined;
        if (error == null) resolve();
        else reject(error);
      });
    });
  }

  /**
   * Ends the piece under way and all that follow: Node calls back for a piece of a connection that is gone only where it
   * had begun to send it.
   */
  fail(error: Error): void {
    this.#failure = error;
    this.#reject?.(error);
  }

  end(): void {
    this.#cancel();
  }

  #watch(delayMs: Ms): void {
    this.#cancel = this.#clock.after(delayMs, () => {
      const leftMs = this.#begunAt + STALLED_AFTER_MS - this.#clock.now();
      if (this.#reject === undefined) this.#watch(STALLED_AFTER_MS);
      else if (leftMs > 0)
        this.#watch(Math.min(leftMs, STALLED_AFTER_MS)); // a clock may be set back
      else this.fail(new Error("the client takes nothing"));
    });
  }
}
