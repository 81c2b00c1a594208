import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { pause } from "./pause.ts";
import type { Source, SourceStream } from "./source.ts";

export interface ContinuedBodyOptions {
  readonly source: Source;
  readonly clock: Clock;
  /** Of the whole file; undefined where it is not known. */
  readonly totalBytes: number | undefined;
  /** Ends it all, with its reason as the error. */
  readonly signal: AbortSignal;
  /** Told of each break that it goes on from. */
  readonly onBroken: (startAt: number, error: UpstreamUnavailable) => void;
}

// The first try follows at once, most breaks being one connection's own; the last after some 8 s without a byte.
const WAIT_BEFORE_TRY_MS: readonly Ms[] = [0, 250, 1_000, 2_000, 4_000];

// An upstream that wants to be left alone for longer than this ends the fill: everybody who asks for the file would
// wait for it. The next request begins anew, or is told how long to wait.
const LONGEST_WAIT_MS: Ms = 5_000;

// What renews the tries. A connection that breaks every few kilobytes must not be opened anew without pause.
const PROGRESS_BYTES = 16_384;

/**
 * A file's bytes from `startAt` to the end, as if from one unbroken connection: where one breaks, the rest is asked
 * for by Range on a fresh one (clients.md rule 8: poetry, pdm and old pip do not do it themselves). A source that
 * ignores Range is read again from its beginning and what is known already is skipped. Progress renews the number of
 * tries.
 *
 * @param first an answer that is open already; undefined to ask for one
 * @throws UpstreamUnavailable when so many tries in a row gave nothing
 */
export async function* continuedBody(
  first: SourceStream | undefined,
  startAt: number,
  options: ContinuedBodyOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let at = startAt;
  let tries = 0;
  let brokenAt = startAt;
  let current = first;
  for (;;) {
    try {
      current ??= await reopen(at, tries > 0, options);
      for await (const bytes of restOf(current, at, options)) {
        at += bytes.length;
        if (at - brokenAt >= PROGRESS_BYTES) tries = 0;
        yield bytes;
      }
      return;
    } catch (error) {
      if (!(error instanceof UpstreamUnavailable) || error.failure === "offline") throw error;
      const waitMs = WAIT_BEFORE_TRY_MS[tries];
      const askedMs = error.retryAfterMs ?? 0;
      if (waitMs === undefined || askedMs > LONGEST_WAIT_MS || options.signal.aborted) throw error;
      if (tries === 0) brokenAt = at;
      tries += 1;
      current = undefined;
      options.onBroken(at, error);
      await pause(options.clock, Math.max(waitMs, askedMs), options.signal);
    }
  }
}

async function reopen(at: number, again: boolean, options: ContinuedBodyOptions): Promise<SourceStream> {
  const answer = await options.source.open(at, again);
  if (answer.kind === "absent") {
    throw new UpstreamUnavailable("status", "the rest of the file is not there", { status: answer.status });
  }
  const { totalBytes } = answer;
  const differs = totalBytes !== undefined && (options.totalBytes ?? totalBytes) !== totalBytes;
  if (!differs && answer.startAt <= at) return answer;
  answer.body.destroy();
  throw new UpstreamUnavailable("truncated", "upstream sent another part than was asked for");
}

/** What an answer has from `at` on. */
async function* restOf(
  { body, startAt }: SourceStream,
  at: number,
  { totalBytes, signal }: ContinuedBodyOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const stop = (): void => void body.destroy(asError(signal.reason));
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  let position = startAt;
  try {
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError("a body is made of Buffers");
      const known = Math.min(chunk.length, Math.max(0, at - position));
      position += chunk.length;
      if (known < chunk.length) yield chunk.subarray(known);
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
  if (totalBytes === undefined || position === totalBytes) return;
  throw new UpstreamUnavailable("truncated", `the file ended after ${position} of ${totalBytes} bytes`);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error("stopped", { cause: reason });
}
