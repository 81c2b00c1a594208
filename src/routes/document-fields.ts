import type { Answer } from "../cache/cache.ts";
import { ageMs } from "../cache/freshness.ts";
import type { Representation } from "../cache/memory.ts";
import type { Clock } from "../clock.ts";
import type { PlainExchange } from "./exchange.ts";

/** What the surfaces of PyPI differ in, beside their documents. */
export interface Surface {
  /** The route's name in log and metrics. */
  readonly route: string;
  /** The value of `Vary` (RFC 9110 §12.5.5). */
  readonly vary: string;
  readonly notFound: { readonly contentType: string; readonly body: Buffer | string };
  /** Fields of every answer: CORS, or none. */
  readonly fields: readonly string[];
  /** For what never changes: the `Cache-Control` to send, and a request's own is ignored. */
  readonly cacheControl?: string;
}

/** The fields of a 200. */
export function fieldsOfWhole(
  exchange: PlainExchange,
  surface: Surface,
  answer: Answer,
  representation: Representation,
  clock: Clock,
): string[] {
  // PyPI's edge answers OPTIONS with the document and CORS, but without a validator (facts/pypi.md §1.6).
  const validator = exchange.incoming.method === "OPTIONS" ? [] : ["ETag", representation.etag];
  const { fields, vary } = surface;
  return [
    ...representation.fields,
    ...fields,
    ...validator,
    "Vary",
    vary,
    ...freshnessFields(surface, answer, clock),
  ];
}

/**
 * What a client may still do with the answer. `max-age` counts from upstream's word, as `Age` does and upstream's `Date`
 * (RFC 9111 §4.2): pip, poetry and pdm look at `Date`, uv at both, and what is left to each is what is left to larder.
 */
export function freshnessFields(surface: Surface, answer: Answer, clock: Clock): string[] {
  const age = ageSeconds(answer, clock);
  const leftSeconds = Math.floor(answer.ttlMs / 1000);
  const maxAge = leftSeconds > 0 ? age + leftSeconds : 0;
  const cacheControl = surface.cacheControl ?? `max-age=${maxAge}, public`;
  return ["Cache-Control", cacheControl, "Age", String(age)];
}

/** For `Age` (RFC 9111 §5.1). */
export function ageSeconds(answer: Answer, clock: Clock): number {
  return Math.floor(ageMs(answer.held.entry, clock.now()) / 1000);
}
