import type { UpstreamUnavailable } from "../errors.ts";

// Long enough not to hammer, short enough that a build goes on when PyPI does (pip waits it out, five times).
const UNSAID_SECONDS = 5;

// What larder itself obeys of upstream's wish, at most: one wrong header must not send clients away for a day.
const MOST_SECONDS = 300;

/** `Retry-After` of a 503: whole seconds, never a date (clients.md rule 5: poetry crashes on one). */
export function retryAfter({ retryAfterMs }: UpstreamUnavailable): string {
  if (retryAfterMs === undefined) return String(UNSAID_SECONDS);
  return String(Math.min(Math.max(1, Math.ceil(retryAfterMs / 1000)), MOST_SECONDS));
}
