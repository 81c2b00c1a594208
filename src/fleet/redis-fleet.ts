import type { Fleet } from "./fleet.ts";
import type { MannersLimits } from "./manners.ts";
import type { NewsItem } from "./news.ts";
import { redisLeases } from "./redis-leases.ts";
import { RedisLink, type RedisLinkOptions } from "./redis-link.ts";
import { RedisManners } from "./redis-manners.ts";

export interface RedisFleetOptions extends RedisLinkOptions {
  readonly limits: MannersLimits;
  /** The fleet of this process or machine: what is done with while Redis is in trouble. */
  readonly without: Fleet;
}

/**
 * The fleet of all nodes that share a Redis: standalone, behind Sentinel, or a Cluster. While Redis is in trouble each
 * machine keeps leases and manners for itself.
 */
export function redisFleet(options: RedisFleetOptions): Fleet {
  const { clock, limits, without } = options;
  const link = new RedisLink(options);
  const mannersOf = (upstream: "index" | "metadata" | "files"): RedisManners =>
    new RedisManners(upstream, link, limits, clock, without.manners(upstream));
  const manners = { index: mannersOf("index"), metadata: mannersOf("metadata"), files: mannersOf("files") };
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
    manners: (upstream) => manners[upstream],
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
