import { type Clock, type Ms, within } from "../clock.ts";
import type { UpstreamUnavailable } from "../errors.ts";
import type { Blake2b256 } from "./blake2b.ts";
import { continuedBody } from "./continued-body.ts";
import type { Sink } from "./copy.ts";
import type { Source } from "./source.ts";
import { wrongBytes } from "./wrong-bytes.ts";

export interface CopyThroughOptions {
  readonly source: Source;
  readonly clock: Clock;
  /** Of the whole file. */
  readonly totalBytes: number;
  /** Of the bytes before `startAt`, to prove all by at their end; undefined where not all are read. */
  readonly hash: Blake2b256 | undefined;
  /** Hex, 64 digits. */
  readonly blake2b256: string;
  readonly signal: AbortSignal;
  readonly onBroken: (startAt: number, error: UpstreamUnavailable) => void;
}

// A client that takes nothing for so long of what is passed through to it goes on later, by Range.
const LONGEST_HOLD_UP_MS: Ms = 10_000;

/**
 * Bytes [`startAt`, `endAt`) from the source, for one reader alone, at the pace of `sink`. One that takes its time keeps
 * nobody else from the source meanwhile.
 *
 * @throws UpstreamUnavailable when the rest does not come or the bytes are wrong; the signal's reason; whatever `sink`
 *   rejects with
 */
export async function copyThrough(
  startAt: number,
  endAt: number,
  sink: Sink,
  options: CopyThroughOptions,
): Promise<void> {
  const { hash, blake2b256, clock } = options;
  for (let at = startAt; at < endAt;) {
    let taken: Promise<void> | undefined;
    for await (const chunk of continuedBody(undefined, at, options)) {
      const piece = chunk.subarray(0, endAt - at);
      at += piece.length;
      hash?.update(piece);
      if (at === endAt && hash !== undefined && hash.digest() !== blake2b256) {
        throw wrongBytes();
      }
      taken = sink(piece);
      const isTaken = await within(
        clock,
        LONGEST_HOLD_UP_MS,
        taken.then(() => true),
      );
      if (isTaken === undefined || at === endAt) break;
      taken = undefined;
    }
    if (taken === undefined) throw wrongBytes(`${at} of ${endAt} bytes came`);
    await taken;
  }
}
