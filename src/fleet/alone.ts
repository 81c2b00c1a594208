import type { Clock } from "../clock.ts";
import type { Fleet, UpstreamName } from "./fleet.ts";
import { LeaseTable } from "./lease-table.ts";
import type { MannersLimits } from "./manners.ts";
import { MannersTable } from "./manners-table.ts";

const ME = "alone";

/** A fleet of one process: nobody to tell, nobody to wait for. */
export function aloneFleet(limits: MannersLimits, clock: Clock): Fleet {
  const leases = new LeaseTable(clock).leases(ME);
  const manners = mannersTables(limits, clock);
  return {
    isShared: false,
    leases,
    news: { publish: () => undefined, subscribe: () => () => undefined },
    manners: (upstream) => manners[upstream].manners(ME),
    close: () => Promise.resolve(),
  };
}

/** The tables of all upstreams. */
export function mannersTables(
  limits: MannersLimits,
  clock: Clock,
): Readonly<Record<UpstreamName, MannersTable>> {
  const table = (): MannersTable => new MannersTable(limits, clock);
  return { index: table(), metadata: table(), files: table() };
}
