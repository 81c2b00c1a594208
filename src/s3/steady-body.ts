import { Readable } from "node:stream";
import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";

/**
 * A body as a Source gives it: fails with UpstreamUnavailable where it breaks, says nothing for so long, or is not whole
 * within `wholeMs`, if that is given.
 */
export function steadyBody(body: Readable, clock: Clock, silenceMs: Ms, wholeMs?: Ms): Readable {
  const steady = Readable.from(chunks(), { objectMode: false });
  const slow = new UpstreamUnavailable("whole-timeout", "the bucket is slow");
  const cancelWhole = wholeMs === undefined ? undefined : clock.after(wholeMs, () => void body.destroy(slow));
  // The generator may be waiting for a chunk that never comes.
  steady.once("close", () => {
    cancelWhole?.();
    body.destroy();
  });
  return steady;

  async function* chunks(): AsyncGenerator<unknown, void, undefined> {
    const iterator = body.iterator();
    for (let next = await within(iterator); next.done !== true; next = await within(iterator))
      yield next.value;
  }

  async function within(iterator: AsyncIterator<unknown>): Promise<IteratorResult<unknown>> {
    const silent = new UpstreamUnavailable("between-bytes-timeout", "the bucket has gone silent");
    const cancel = clock.after(silenceMs, () => void body.destroy(silent));
    try {
      return await iterator.next();
    } catch (error) {
      if (error instanceof UpstreamUnavailable) throw error;
      throw new UpstreamUnavailable("reset", "the bucket's answer broke", { cause: error });
    } finally {
      cancel();
    }
  }
}
