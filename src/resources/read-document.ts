import { type Answer, type Cache, type Resource, Unanswered } from "../cache/cache.ts";
import { isNegative } from "../cache/freshness.ts";
import type { Representations } from "./representations.ts";

export interface Reading {
  readonly cache: Cache;
  readonly representations: Representations;
}

/** A document to look into, and how it was come by; without bytes where upstream has none. */
export interface ReadDocument {
  readonly answer: Answer;
  readonly bytes: Buffer | undefined;
}

/**
 * A document through the cache, without its coding. A stored body that turns out to be gone is fetched anew: it must not
 * look as if there were no document.
 *
 * @param noCache see `Ask.noCache`
 * @throws UpstreamUnavailable when it is not held and upstream has no answer
 */
export async function readDocument(
  resource: Resource,
  { cache, representations }: Reading,
  noCache = false,
): Promise<ReadDocument> {
  try {
    return await cache.fetchFor(resource, { noCache }, async (answer) => {
      if (isNegative(answer.held.entry)) return { answer, bytes: undefined };
      const bytes = await representations.decoded(answer.held);
      return bytes && { answer, bytes };
    });
  } catch (error) {
    throw error instanceof Unanswered ? error.cause : error;
  }
}
