import type { Ms } from "./clock.ts";

/**
 * Why upstream gave no usable answer. Each is a stable word for logs, metrics, `Cache-Status` detail and the
 * JSON error that a client sees.
 */
const UPSTREAM_FAILURES = [
  "offline", // LARDER_OFFLINE: upstream is not asked at all
  "stopping", // larder ends before the answer is there: upstream is not to blame
  "connect", // refused, unreachable, name not found, TLS failed
  "connect-timeout",
  "first-byte-timeout",
  "between-bytes-timeout",
  "whole-timeout",
  "reset", // the connection broke before or within the answer
  "truncated", // fewer or more bytes than announced
  "too-large",
  "status", // 5xx, or any status that is no answer to a read
  "breaker", // upstream has failed so often in a row that it is not asked for a moment
  "busy", // no place among the requests under way, of all nodes, came free in time
  "rate-limited", // 429, or 503 with Retry-After: and all requests until that time has passed
  "not-json", // HTML with status 200, or a body that is not one JSON object
  "not-html", // a page that is none of the Simple API, such as a challenge or an error with status 200
  "not-xml", // no feed of RSS, likewise
  "not-xmlrpc", // the change feed's answer is not XML-RPC, or a fault
  "wrong-bytes", // a file whose BLAKE2b-256 is not the one in its path
  "hash-mismatch", // bytes that are not those which the index announces
  "bad-coding", // gzip that does not decode, or a coding nobody asked for
  "redirects", // more redirects than a sane upstream has
] as const;

export type UpstreamFailure = (typeof UPSTREAM_FAILURES)[number];

/** Whether a word is one of these. */
export function isUpstreamFailure(word: unknown): word is UpstreamFailure {
  return UPSTREAM_FAILURES.some((failure) => failure === word);
}

/**
 * Upstream could not be asked, or what it said cannot be trusted. Serve stale if held; else 503.
 * Never to be read as "does not exist".
 */
export class UpstreamUnavailable extends Error {
  override readonly name = "UpstreamUnavailable";
  readonly failure: UpstreamFailure;
  /** The status that upstream answered with, where it got so far (RFC 9211 fwd-status). */
  readonly status: number | undefined;
  /** How long upstream asked to be left alone, or undefined where it did not say. */
  readonly retryAfterMs: Ms | undefined;

  constructor(
    failure: UpstreamFailure,
    message: string,
    options: { cause?: unknown; status?: number | undefined; retryAfterMs?: Ms | undefined } = {},
  ) {
    super(message, { cause: options.cause });
    this.failure = failure;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The index does not announce this, so there is no hash to prove it by. Not a failure: it is passed through, unstored. */
export class Unannounced extends Error {
  override readonly name = "Unannounced";
}

/** The start cannot go on with this configuration; `faults` has one line for each thing to mend. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
    this.faults = faults;
  }
}

/** A store did not answer within its time budget, or is known to be down. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}

/** Another process of this larder did not answer: it is gone, too slow, or failed at it. */
export class NoReply extends Error {
  override readonly name = "NoReply";
}

/** A worker has said why larder cannot start: there is nothing left to say. */
export class AlreadyTold extends Error {
  override readonly name = "AlreadyTold";
}
