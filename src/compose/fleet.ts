import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { aloneFleet } from "../fleet/alone.ts";
import type { Fleet, UpstreamName } from "../fleet/fleet.ts";
import type { Limiter, Limits } from "../fleet/limiter.ts";
import { redisFleet } from "../fleet/redis-fleet.ts";
import { restingWith } from "../fleet/resting-with.ts";
import { workerFleet } from "../fleet/worker-fleet.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { PrimaryLink } from "../workers/primary-link.ts";

// What may go at once, in seconds of the rate: a farm that starts cold, or an installation with many dependencies.
const BURST_SECONDS = 10;

/** Who else there is: nobody, the other workers of this machine, or whoever shares the Redis. */
export function openFleet(
  config: Config,
  primary: PrimaryLink | undefined,
  clock: Clock,
  onSurvived: OnSurvived,
): Fleet {
  const limits = limitsOf(config);
  const alone = aloneFleet(limits, clock);
  const machine = primary === undefined ? alone : workerFleet(primary, clock, alone);
  if (config.redis === undefined) return machine;
  return redisFleet({
    target: config.redis,
    caPem: config.ca?.pem,
    budgetMs: config.redisBudgetMs,
    limits,
    clock,
    onSurvived,
    without: machine,
  });
}

/** How each upstream is treated: a host that asks to be left alone is left alone in all that it is asked for. */
export function limitersOf(
  fleet: Fleet,
  { upstreamUrl, filesUpstreamUrl }: Config,
): Readonly<Record<UpstreamName, Limiter>> {
  const [index, metadata, files] = [
    fleet.limiter("index"),
    fleet.limiter("metadata"),
    fleet.limiter("files"),
  ];
  const isOneHost = new URL(upstreamUrl).host === new URL(filesUpstreamUrl).host;
  const andIndex = isOneHost ? [index] : [];
  return {
    index: isOneHost ? restingWith(index, [metadata, files]) : index,
    metadata: restingWith(metadata, [files, ...andIndex]),
    files: restingWith(files, [metadata, ...andIndex]),
  };
}

/** What all nodes together may ask of an upstream. */
export function limitsOf({ upstreamConnections, upstreamPerSecond }: Config): Limits {
  return {
    places: upstreamConnections,
    perSecond: upstreamPerSecond,
    burst: upstreamPerSecond * BURST_SECONDS,
  };
}
