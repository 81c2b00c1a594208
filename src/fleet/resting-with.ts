import type { Limiter } from "./limiter.ts";

/**
 * The limiter of one of several ways to a host, each with a budget of its own: when the host asks to be left alone in
 * answer to one of them (RFC 9110 §10.2.3), the others leave it alone too.
 */
export function restingWith(own: Limiter, others: readonly Limiter[]): Limiter {
  return {
    enter: async (patienceMs) => {
      const pass = await own.enter(patienceMs);
      return {
        end: (end) => {
          pass.end(end);
          if (end.kind !== "rate-limited") return;
          for (const other of others) other.rest(end.retryAfterMs);
        },
      };
    },
    rest: (retryAfterMs) => own.rest(retryAfterMs),
    state: () => own.state(),
  };
}
