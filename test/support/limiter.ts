import type { Clock } from "../../src/clock.ts";
import type { Limiter } from "../../src/fleet/limiter.ts";
import { LimiterTable } from "../../src/fleet/limiter-table.ts";

const UNBOUNDED = { places: 1_000, perSecond: Number.POSITIVE_INFINITY, burst: Number.POSITIVE_INFINITY };

/** A limiter that holds nobody back, but for a rest or the breaker. */
export function generousLimiter(clock: Clock): Limiter {
  return new LimiterTable(UNBOUNDED, clock).limiter("test");
}
