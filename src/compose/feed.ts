import type { Cache } from "../cache/cache.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { createChangelog } from "../feed/changelog.ts";
import { Feed, type FeedEvent, type FeedState } from "../feed/feed.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { FeedGauges } from "../ops/feed-metrics.ts";
import type { Log } from "../ops/log.ts";
import type { Metrics } from "../ops/metrics.ts";
import type { GuardedStore } from "../store/guarded.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { toldOf } from "./observe.ts";

/** What the change feed is made of, and who is told what. */
interface FeedParts {
  readonly upstream: Upstream;
  readonly store: GuardedStore;
  readonly fleet: Fleet;
  readonly cache: Cache;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly onSurvived: OnSurvived;
}

/** The change feed, as it is configured and not yet begun; undefined for none. */
export function openFeed(config: Config, parts: FeedParts): Feed | undefined {
  if (config.feed === "off" || config.offline) return undefined;
  const { upstream, store, fleet, cache, clock, metrics, log, onSurvived } = parts;
  return new Feed({
    changelog: createChangelog(upstream),
    store,
    leases: fleet.leases,
    news: fleet.news,
    clock,
    intervalMs: config.feedIntervalMs,
    ownCheckMs: config.feedOwnCheckMs,
    onMark: (group, generation, at) => cache.advance(group, generation, at),
    onEvent: (event) => {
      if (event.kind === "asked") metrics.feed(event);
      else tell(event, log);
    },
    onSurvived,
  });
}

function tell(event: Exclude<FeedEvent, { kind: "asked" }>, log: Log): void {
  switch (event.kind) {
    case "leads":
      log.info({ serial: event.serial }, "follows the change feed");
      return;
    case "lost":
      log.warn("does not follow the change feed any more: the lease is lost");
      return;
    case "fails":
      log.warn(toldOf(event.error), "the change feed cannot be followed: lifetimes hold until it can");
      return;
    case "recovers":
      log.info("the change feed answers again");
      return;
    case "reached":
      if (event.reached === "current") log.info({ serial: event.serial }, "caught up with the change feed");
      else if (event.reached === "begun") log.info({ serial: event.serial }, "the change feed begins here");
      else {
        const { reached, serial } = event;
        log.warn(
          { reached, serial },
          "the change feed begins anew: what was stored before goes by its lifetimes",
        );
      }
  }
}

/** For /readyz: how far the feed has been followed, and by whom. */
export function feedReadiness(state: FeedState | undefined, clock: Clock): Record<string, unknown> {
  if (state === undefined) return { is: "off" };
  const { asOf } = state;
  return { is: "on", ...state, ...(asOf !== undefined && { lagMs: clock.now() - asOf }) };
}

/** The same, for the metrics. */
export function feedGauges(state: FeedState | undefined, clock: Clock): FeedGauges | undefined {
  if (state === undefined) return undefined;
  const { leads, serial, asOf } = state;
  return { leads, serial, lagMs: asOf === undefined ? undefined : clock.now() - asOf };
}
