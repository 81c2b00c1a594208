import { Readable } from "node:stream";
import type { Clock, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";

/** A body as a Source gives it: fails with UpstreamUnavailable where it breaks, or says nothing for so long. */
export function steadyBody(body: Readable, clock: Clock, silenceMs: Ms): Readable {
  const steady = Readable.from(chunks(), { objectMode: false });
  // The generator may be waiting for a chunk that never comes.
  steady.once("close", () => body.destroy());
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
