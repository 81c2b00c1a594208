import type { Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { type DocumentAnswer, readAnswer } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { type RateLimit, rateLimit } from "./headers.ts";

/** A question that is too long for a path. It must be safe to ask twice (RFC 9110 §9.2.2): it is, on a new connection. */
export interface PostRequest {
  readonly contentType: string;
  readonly body: string;
  /** Bound of the answer as sent, where it is not that of documents. */
  readonly maxBytes?: number | undefined;
}

/** 200, and what upstream says of its limit. */
export interface PostAnswer extends DocumentAnswer {
  /** What is left for this address; undefined where upstream does not say. */
  readonly rateLimit: RateLimit | undefined;
}

/** All that upstream is told. */
export function postHeaders(userAgent: string, { contentType }: PostRequest): Record<string, string> {
  return {
    accept: contentType,
    "accept-encoding": "gzip",
    "content-type": contentType,
    "user-agent": userAgent,
  };
}

/**
 * Makes an answer of an exchange.
 *
 * @throws UpstreamUnavailable for any status but 200, and where the body fails
 */
export async function readPost(
  opened: Exchange,
  { contentType }: PostRequest,
  requestedAt: number,
  maxBytes: number,
): Promise<PostAnswer> {
  const request = { accept: contentType };
  const answer = await readAnswer(opened, { request, requestedAt, maxBytes });
  if (answer.kind !== "ok") {
    throw new UpstreamUnavailable("status", `POST: upstream answered ${opened.status}`, {
      status: opened.status,
    });
  }
  return { ...answer, rateLimit: rateLimit(opened.headers) };
}

/** How long is to be waited before the next question, by what is left of upstream's limit; 0 while something is. */
export function untilAllowedMs({ rateLimit: limit }: Pick<PostAnswer, "rateLimit">): Ms {
  return limit === undefined || limit.left > 0 ? 0 : limit.resetMs;
}
