import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { aloneFleet } from "../fleet/alone.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { MannersLimits } from "../fleet/manners.ts";

// What may go at once, in seconds of the rate: a farm that starts cold, or an installation with many dependencies.
const BURST_SECONDS = 10;

/** Who else there is: nobody, the other workers of this machine, or whoever shares the Redis. */
export function openFleet(config: Config, clock: Clock): Fleet {
  return aloneFleet(limitsOf(config), clock);
}

/** What all nodes together may ask of an upstream. */
export function limitsOf({ upstreamConnections, upstreamPerSecond }: Config): MannersLimits {
  return {
    places: upstreamConnections,
    perSecond: upstreamPerSecond,
    burst: upstreamPerSecond * BURST_SECONDS,
  };
}
