import type { Clock, EpochMs } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Switchboard } from "../workers/switchboard.ts";
import { limiterTables } from "./alone.ts";
import { LeaseTable } from "./lease-table.ts";
import type { Lease } from "./leases.ts";
import { type Limits, type Pass, PLACE_MS } from "./limiter.ts";
import { ACQUIRE, ENDED, ENTER, type Entered, LEAVE, RELEASE, RENEW, REST, STAY } from "./worker-ops.ts";

/** What one worker holds: freed when it ends, however that was. */
interface Holdings {
  readonly leases: Map<number, Lease>;
  readonly passes: Map<number, { readonly pass: Pass; seenAt: EpochMs }>;
}

/** The primary's part of a fleet of workers: it keeps their leases and their limiters. News it only passes on. */
export function answerFleet(
  switchboard: Pick<Switchboard, "desk" | "onGone">,
  limits: Limits,
  clock: Clock,
): void {
  const { desk } = switchboard;
  const table = new LeaseTable(clock);
  const tables = limiterTables(limits, clock);
  const holdings = new Map<number, Holdings>();
  let passes = 0;

  const of = (worker: number): Holdings => {
    const held = holdings.get(worker) ?? {
      leases: new Map<number, Lease>(),
      passes: new Map<number, { readonly pass: Pass; seenAt: EpochMs }>(),
    };
    holdings.set(worker, held);
    return held;
  };

  // A worker that had stopped waiting when its leave came does not know that it has a place.
  let isWatching = false;
  const watch = (): void => {
    if (isWatching) return;
    isWatching = true;
    clock.after(PLACE_MS / 3, () => {
      isWatching = false;
      let left = 0;
      for (const { passes: held } of holdings.values()) {
        for (const [id, { pass, seenAt }] of held) {
          if (clock.now() - seenAt < PLACE_MS) continue;
          pass.end({ kind: "neither" });
          held.delete(id);
        }
        left += held.size;
      }
      if (left > 0) watch();
    });
  };

  desk.answer(ACQUIRE, async ({ key, lengthMs }, worker) => {
    const turn = await table.leases(String(worker)).acquire(key, lengthMs);
    if (turn.kind === "held") of(worker).leases.set(turn.token, turn);
    return { isHeld: turn.kind === "held", token: turn.token };
  });
  desk.answer(RENEW, async ({ token }, worker) => (await of(worker).leases.get(token)?.renew()) ?? false);
  desk.answer(ENDED, ({ key, token, waitMs }, worker) =>
    table.leases(String(worker)).ended({ kind: "taken", key, token }, waitMs),
  );
  desk.hear(RELEASE, ({ token, word }, worker) => {
    const { leases } = of(worker);
    void leases.get(token)?.release(word);
    leases.delete(token);
  });
  desk.answer(ENTER, async ({ upstream, patienceMs }, worker): Promise<Entered> => {
    try {
      const pass = await tables[upstream].limiter(String(worker)).enter(patienceMs);
      passes += 1;
      of(worker).passes.set(passes, { pass, seenAt: clock.now() });
      watch();
      return { state: tables[upstream].state(), pass: passes };
    } catch (error) {
      if (!(error instanceof UpstreamUnavailable)) throw error;
      const { failure, message, retryAfterMs } = error;
      const refused = { failure, message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
      return { state: tables[upstream].state(), refused };
    }
  });
  desk.hear(LEAVE, ({ pass, end }, worker) => {
    const { passes: held } = of(worker);
    held.get(pass)?.pass.end(end);
    held.delete(pass);
  });
  desk.hear(REST, ({ upstream, retryAfterMs }) => tables[upstream].rest(retryAfterMs));
  desk.hear(STAY, ({ passes: staying }, worker) => {
    for (const pass of staying) {
      const held = of(worker).passes.get(pass);
      if (held !== undefined) held.seenAt = clock.now();
    }
  });
  switchboard.onGone((worker) => {
    table.drop(String(worker));
    for (const each of Object.values(tables)) each.drop(String(worker));
    holdings.delete(worker);
  });
}
