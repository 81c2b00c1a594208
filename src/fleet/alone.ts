import type { Clock } from "../clock.ts";
import type { Fleet } from "./fleet.ts";
import { LeaseTable } from "./lease-table.ts";

/** A fleet of one process: nobody to tell, nobody to wait for. */
export function aloneFleet(clock: Clock): Fleet {
  const table = new LeaseTable(clock);
  return {
    isShared: false,
    leases: table.leases("alone"),
    news: { publish: () => undefined, subscribe: () => () => undefined },
    close: () => Promise.resolve(),
  };
}
