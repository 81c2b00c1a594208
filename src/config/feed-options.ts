import type { Ms } from "../clock.ts";
import type { Option } from "./option.ts";
import { duration, oneOf } from "./values.ts";

/** What can be configured of the change feed. */
export interface FeedConfig {
  readonly feed: "off" | "changelog";
  readonly feedIntervalMs: Ms;
  readonly feedOwnCheckMs: Ms;
}

/** Its options, in the order in which the README lists them. */
export const FEED_OPTIONS: { readonly [K in keyof FeedConfig]: Option<FeedConfig[K]> } = {
  feed: {
    env: "LARDER_FEED",
    kind: oneOf("off", "changelog"),
    fallback: "off",
    help: "`changelog` follows PyPI's journal of changes: what it tells of is asked for again at once, all else stays fresh",
    reason: "PyPI means to end XML-RPC one day; worth it where many projects are asked for all day",
  },
  feedIntervalMs: {
    env: "LARDER_FEED_INTERVAL",
    kind: duration({ min: 1_000, max: 3_600_000 }),
    fallback: "60s",
    help: "pause between two looks at the journal, by one node for all; below `LARDER_FRESH`, or it lends little",
    reason:
      "a release is seen within a minute, for 60 of the 3,600 calls an hour that PyPI allows an address",
  },
  feedOwnCheckMs: {
    env: "LARDER_FEED_OWN_CHECK",
    kind: duration(),
    fallback: "24h",
    help: "how long an answer may be fresh on the journal's word; then it needs upstream's own",
    reason:
      "some changes (vulnerabilities, ownership) are in no journal; PyPI's own CDN keeps answers as long",
  },
};
