import type { Fleet, UpstreamName } from "./fleet.ts";
import type { Limits } from "./limiter.ts";
import type { NewsItem } from "./news.ts";
import { redisLeases } from "./redis-leases.ts";
import { RedisLink, type RedisLinkOptions } from "./redis-link.ts";
import { RedisLimiter } from "./redis-limiter.ts";

export interface RedisFleetOptions extends RedisLinkOptions {
  readonly limits: Limits;
  /** The fleet of this process or machine: what is done with while Redis is in trouble. */
  readonly without: Fleet;
}

/**
 * The fleet of all nodes that share a Redis: standalone, behind Sentinel, or a Cluster. While Redis is in trouble each
 * machine keeps leases and limiters for itself.
 */
export function redisFleet(options: RedisFleetOptions): Fleet {
  const { clock, limits, without } = options;
  const link = new RedisLink(options);
  const limiterOf = (upstream: UpstreamName): RedisLimiter =>
    new RedisLimiter(upstream, link, limits, clock, without.limiter(upstream));
  const limiters = { index: limiterOf("index"), metadata: limiterOf("metadata"), files: limiterOf("files") };
  return {
    isShared: true,
    leases: redisLeases(link, clock, without.leases),
    news: {
      publish: (item) => link.tell({ is: "news", from: link.node, item }),
      subscribe: (listener) =>
        link.listen((message) => {
          const item = newsIn(message, link.node);
          if (item !== undefined) listener(item);
        }),
    },
    limiter: (upstream) => limiters[upstream],
    close: async () => {
      link.close();
      await without.close();
    },
  };
}

/** @returns undefined for one's own news, and for what is none */
function newsIn(message: unknown, node: string): NewsItem | undefined {
  if (typeof message !== "object" || message === null || !("is" in message) || message.is !== "news")
    return undefined;
  if ("from" in message && message.from === node) return undefined;
  const item: unknown = "item" in message ? message.item : undefined;
  if (typeof item !== "object" || item === null || !("kind" in item)) return undefined;
  if (item.kind === "feed") return { kind: "feed" };
  const at: unknown = "at" in item ? item.at : undefined;
  if (item.kind === "listed" && typeof at === "number") return { kind: "listed", at };
  if (!("group" in item) || typeof item.group !== "string") return undefined;
  if (item.kind === "changed") return { kind: "changed", group: item.group };
  return item.kind === "purged" && typeof at === "number"
    ? { kind: "purged", group: item.group, at }
    : undefined;
}
