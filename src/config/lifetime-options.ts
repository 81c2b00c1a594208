import type { Ms } from "../clock.ts";
import { FEED_OPTIONS, type FeedConfig } from "./feed-options.ts";
import type { Option } from "./option.ts";
import { duration } from "./values.ts";

/** What can be configured of how long what is served. */
export interface LifetimeConfig extends FeedConfig {
  readonly freshMs: Ms;
  readonly ownCheckMs: Ms;
  readonly staleWhileRevalidateMs: Ms;
  /** Infinity for no limit. */
  readonly staleIfErrorMs: Ms;
  readonly negativeMs: Ms;
  readonly patienceMs: Ms;
  readonly noCacheAfterMs: Ms;
  readonly lowerSerialMs: Ms;
}

/** Its options, in the order in which the README lists them. */
export const LIFETIME_OPTIONS: { readonly [K in keyof LifetimeConfig]: Option<LifetimeConfig[K]> } = {
  freshMs: {
    env: "LARDER_FRESH",
    kind: duration(),
    fallback: "10m",
    help: "how long after upstream's word an answer is served without asking again",
    reason:
      "PyPI allows clients 10m (Simple) to 15m (JSON), so nobody sees less fresh answers than from PyPI",
  },
  ownCheckMs: {
    env: "LARDER_OWN_CHECK",
    kind: duration(),
    fallback: "15m",
    help:
      "how long an answer may be fresh because another of the project, of the same serial, was confirmed since; then it " +
      "needs upstream's own word",
    reason:
      "PyPI's max-age for documents; some changes (vulnerabilities, ownership) leave the serial as it is",
  },
  staleWhileRevalidateMs: {
    env: "LARDER_STALE_WHILE_REVALIDATE",
    kind: duration(),
    fallback: "5m",
    help: "how long after that the held copy goes out at once while upstream is asked in the background",
    reason: "what PyPI's own CDN does after a change (300 s)",
  },
  staleIfErrorMs: {
    env: "LARDER_STALE_IF_ERROR",
    kind: duration({ unlimited: true }),
    fallback: "unlimited",
    help: "how long a stale copy may stand in while upstream fails; `0` for never",
    reason: "an old answer, said to be old, beats none in an outage of any length",
  },
  negativeMs: {
    env: "LARDER_NEGATIVE",
    kind: duration({ max: 60_000 }),
    fallback: "60s",
    help: "how long a 404 is served without asking again",
    reason: "what PyPI's CDN keeps a 404; longer would hide new releases",
  },
  patienceMs: {
    env: "LARDER_PATIENCE",
    kind: duration({ max: 86_400_000 }),
    fallback: "1s",
    help: "how long a client waits for upstream when a stale copy is held, before it gets that",
    reason: "longer than PyPI takes when well, shorter than a person notices",
  },
  noCacheAfterMs: {
    env: "LARDER_NO_CACHE_AFTER",
    kind: duration(),
    fallback: "5s",
    help: "a request's `no-cache` asks upstream again only about what is older than this",
    reason: "a reload shows a new release, and a build farm's `--refresh` does not reach PyPI",
  },
  ...FEED_OPTIONS,
  lowerSerialMs: {
    env: "LARDER_LOWER_SERIAL",
    kind: duration(),
    fallback: "24h",
    help: "how long upstream must keep answering with a lower serial before it is believed",
    reason: "a purge lost by PyPI's CDN lasts at most 24h",
  },
};
