import type { Clock } from "../clock.ts";
import type { Fleet, UpstreamName } from "./fleet.ts";
import { LeaseTable } from "./lease-table.ts";
import type { Limits } from "./limiter.ts";
import { LimiterTable } from "./limiter-table.ts";

const ME = "alone";

/** A fleet of one process: nobody to tell, nobody to wait for. */
export function aloneFleet(limits: Limits, clock: Clock): Fleet {
  const leases = new LeaseTable(clock).leases(ME);
  const tables = limiterTables(limits, clock);
  return {
    isShared: false,
    leases,
    news: { publish: () => undefined, subscribe: () => () => undefined },
    limiter: (upstream) => tables[upstream].limiter(ME),
    close: () => Promise.resolve(),
  };
}

/** The tables of all upstreams. */
export function limiterTables(limits: Limits, clock: Clock): Readonly<Record<UpstreamName, LimiterTable>> {
  const table = (): LimiterTable => new LimiterTable(limits, clock);
  return { index: table(), metadata: table(), files: table() };
}
