import type { Clock, Ms } from "../clock.ts";
import type { Lease } from "./leases.ts";

/** Renews a lease again and again, until the returned function is called or it is lost. */
export function keepRenewing(lease: Lease, clock: Clock, everyMs: Ms): () => void {
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.after(everyMs, () => {
      // Lost: what is done under it is then fenced off by whoever took over, unless it is the newer one.
      void lease.renew().then((isHeld) => isHeld && isArmed && arm());
    });
  };
  let isArmed = true;
  arm();
  return () => {
    isArmed = false;
    cancel();
  };
}
