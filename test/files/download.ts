import { createHash } from "node:crypto";
import { request, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";

/** One GET whose body is hashed as it comes, and not kept. */
export interface Download {
  /** Status and fields have come. */
  readonly head: Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders }>;
  /** A byte of the body has come. */
  readonly firstByte: Promise<void>;
  /** At least so many bytes have come. */
  reached(bytes: number): Promise<void>;
  /** The end: `complete` is false where the connection broke before Content-Length was there. */
  readonly done: Promise<{ readonly sha256: string; readonly bytes: number; readonly complete: boolean }>;
  /** Takes nothing more from the socket, until `resume`. */
  pause(): void;
  resume(): void;
  /** Goes away. */
  leave(): void;
}

/** Begins a download on a connection of its own. */
export function download(base: string, path: string, headers: OutgoingHttpHeaders = {}): Download {
  const head = Promise.withResolvers<{ status: number; headers: IncomingHttpHeaders }>();
  const done = Promise.withResolvers<{ sha256: string; bytes: number; complete: boolean }>();
  const waiting = new Map<() => void, number>();
  const hash = createHash("sha256");
  let bytes = 0;
  let response: IncomingMessage | undefined;
  let isPaused = false;
  const end = (complete: boolean): void => done.resolve({ sha256: hash.digest("hex"), bytes, complete });
  const outgoing = request(base + path, { agent: false, headers }, (incoming) => {
    response = incoming;
    head.resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers });
    incoming.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      bytes += chunk.length;
      for (const [resolve, at] of waiting) {
        if (bytes < at) continue;
        waiting.delete(resolve);
        resolve();
      }
    });
    incoming.on("error", () => undefined); // told by "close"
    incoming.once("close", () => end(incoming.complete));
    if (isPaused) incoming.pause();
  });
  outgoing.on("error", (error) => {
    head.reject(error);
    if (response === undefined) end(false);
  });
  outgoing.end();
  head.promise.catch(() => undefined);
  const reached = (at: number): Promise<void> =>
    new Promise((resolve) => (bytes >= at ? resolve() : void waiting.set(resolve, at)));
  return {
    head: head.promise,
    firstByte: reached(1),
    reached,
    done: done.promise,
    pause: () => {
      isPaused = true;
      response?.pause();
    },
    resume: () => {
      isPaused = false;
      response?.resume();
    },
    leave: () => void outgoing.destroy(),
  };
}
