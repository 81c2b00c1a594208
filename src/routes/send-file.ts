import type { CacheStatus } from "../cache/cache-status.ts";
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
}

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
  const writing = new Writing(outgoing);
  const onClose = (): void => {
    const error = new Error("the client went away");
    gone.abort(error);
    writing.fail(error);
  };
  outgoing.once("close", onClose);
  if (outgoing.destroyed) onClose();
  const sink = (piece: Buffer): Promise<void> => writing.write(piece);
  for (const piece of reply.pieces) {
    if (Buffer.isBuffer(piece)) await sink(piece);
    else await reply.reading.copy(piece.startAt, piece.endAt, sink, gone.signal);
  }
  outgoing.off("close", onClose);
  outgoing.end();
}

/** The pieces of one body, each written when the one before has left this process. */
class Writing {
  readonly #outgoing: Outgoing;
  #reject: ((error: Error) => void) | undefined;
  #failure: Error | undefined;

  constructor(outgoing: Outgoing) {
    this.#outgoing = outgoing;
  }

  /** Resolves when the piece has left. */
  write(piece: Buffer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
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
}
