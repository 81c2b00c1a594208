import type { Ms } from "../clock.ts";
import type { UpstreamFailure } from "../errors.ts";
import { op } from "../workers/channel.ts";
import type { UpstreamName } from "./fleet.ts";
import type { LeaseEnd } from "./leases.ts";
import type { LimiterState, PassEnd } from "./limiter.ts";
import type { NewsItem } from "./news.ts";

// What the workers of one machine share, asked of their primary.

interface LeaseName {
  readonly key: string;
  readonly token: number;
}

export const ACQUIRE = op<
  { readonly key: string; readonly lengthMs: Ms },
  { isHeld: boolean; token: number }
>("fleet: acquire");
export const RENEW = op<LeaseName, boolean>("fleet: renew");
export const RELEASE = op<LeaseName & { readonly word: string }>("fleet: release");
export const ENDED = op<LeaseName & { readonly waitMs: Ms }, LeaseEnd>("fleet: ended");

/** Leave to ask upstream, or why there is none. */
export interface Entered {
  readonly state: LimiterState;
  readonly pass?: number;
  readonly refused?: {
    readonly failure: UpstreamFailure;
    readonly message: string;
    readonly retryAfterMs?: Ms;
  };
}

export const ENTER = op<{ readonly upstream: UpstreamName; readonly patienceMs: Ms }, Entered>(
  "fleet: enter",
);
export const LEAVE = op<{ readonly upstream: UpstreamName; readonly pass: number; readonly end: PassEnd }>(
  "fleet: leave",
);

/** Upstream asked to be left alone. */
export const REST = op<{ readonly upstream: UpstreamName; readonly retryAfterMs?: Ms }>("fleet: rest");

/** What is still under way: a place that is not spoken for becomes free. */
export const STAY = op<{ readonly passes: readonly number[] }>("fleet: stay");

export const NEWS = op<NewsItem>("fleet: news");
