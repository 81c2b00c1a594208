import type { CacheStatus } from "../cache/cache-status.ts";
import type { Clock, Ms } from "../clock.ts";
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
  const onClose = (): void => gone.abort(new Error("the client went away"));
  outgoing.once("close", onClose);
  if (outgoing.destroyed) onClose();
  const sink = (piece: Buffer): Promise<void> => write(outgoing, piece, gone.signal, reply.clock);
  for (const piece of reply.pieces) {
    if (Buffer.isBuffer(piece)) await sink(piece);
    else await reply.reading.copy(piece.startAt, piece.endAt, sink, gone.signal);
  }
  outgoing.off("close", onClose);
  outgoing.end();
}

/** Resolves when the piece has left this process. */
function write(outgoing: Outgoing, piece: Buffer, signal: AbortSignal, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error: unknown): void => {
      cancel();
      signal.removeEventListener("abort", onGone);
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error("the piece was not sent", { cause: error }));
    };
    // Node calls back for a piece of a connection that is gone only where it had begun to send it.
    const onGone = (): void => settle(signal.reason);
    const cancel = clock.after(STALLED_AFTER_MS, () => settle(new Error("the client takes nothing")));
    signal.addEventListener("abort", onGone);
    if (signal.aborted) onGone();
    else outgoing.write(piece, (error) => settle(error ?? undefined));
  });
}
