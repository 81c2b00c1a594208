import type { PassEnd } from "../fleet/limiter.ts";
import { UpstreamUnavailable, type UpstreamFailure } from "../errors.ts";

/** How far an exchange got: no connection yet, request sent, or answer begun. */
export type Phase = "connecting" | "waiting" | "body";

const CONNECT_TIMEOUTS: ReadonlySet<string> = new Set([
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT", // of the CONNECT request: the forward proxy does not answer
  "ETIMEDOUT",
]);

const SHUT_DOWN: ReadonlySet<string> = new Set(["UND_ERR_DESTROYED", "UND_ERR_CLOSED"]);

function failureOf(code: string, phase: Phase): UpstreamFailure {
  if (SHUT_DOWN.has(code)) return "stopping";
  if (phase === "connecting") return CONNECT_TIMEOUTS.has(code) ? "connect-timeout" : "connect";
  if (code === "UND_ERR_HEADERS_OVERFLOW") return "too-large";
  // undici reports a forward proxy's 407 so; our own arguments have been accepted by then.
  if (code === "UND_ERR_INVALID_ARG") return "connect";
  if (phase === "waiting") return "reset";
  return TRUNCATIONS.has(code) ? "truncated" : "reset";
}

// An end without an error of the socket: a clean FIN before the announced end. A RST comes with its errno.
const TRUNCATIONS: ReadonlySet<string> = new Set([
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_SOCKET",
  "HPE_INVALID_EOF_STATE",
]);

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/**
 * Says in our words why undici or the socket gave up.
 *
 * @param target what was asked for, method and all, for the message: without credentials
 */
export function explain(error: unknown, phase: Phase, target: string): UpstreamUnavailable {
  if (error instanceof UpstreamUnavailable) return error;
  const reason = error instanceof Error ? error.message || codeOf(error) : String(error);
  return new UpstreamUnavailable(failureOf(codeOf(error), phase), `${target}: ${reason}`, {
    cause: error,
  });
}

/**
 * Whether another connection might do better at once: the connection broke (often a kept-alive one that had died
 * meanwhile), or a gateway in between had no answer. Never a 429, nor a 503 that asks to be left alone.
 */
export function mayRetry(failure: UpstreamUnavailable): boolean {
  if (failure.failure === "reset" || failure.failure === "truncated") return true;
  return failure.failure === "status" && (failure.status === 502 || failure.status === 503);
}

// A host that does not answer, or breaks off: what is asked for next would fare no better.
const NOT_THERE: ReadonlySet<UpstreamFailure> = new Set([
  "connect",
  "connect-timeout",
  "first-byte-timeout",
  "between-bytes-timeout",
  "whole-timeout",
  "reset",
  "truncated",
]);

/** What a failed request tells those who come after it. */
export function passEndOf(error: unknown): PassEnd {
  if (!(error instanceof UpstreamUnavailable)) return { kind: "neither" };
  const { failure, status, retryAfterMs } = error;
  if (failure === "rate-limited") return { kind: "rate-limited", retryAfterMs };
  if (NOT_THERE.has(failure) || (failure === "status" && (status ?? 0) >= 500)) return { kind: "failed" };
  return { kind: failure === "status" ? "answered" : "neither" };
}
