import type { Clock } from "../../src/clock.ts";
import type { Manners } from "../../src/fleet/manners.ts";
import { MannersTable } from "../../src/fleet/manners-table.ts";

const UNBOUNDED = { places: 1_000, perSecond: Number.POSITIVE_INFINITY, burst: Number.POSITIVE_INFINITY };

/** Manners that hold nobody back, but for a rest or the breaker. */
export function generousManners(clock: Clock): Manners {
  return new MannersTable(UNBOUNDED, clock).manners("test");
}
