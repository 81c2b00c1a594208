import { createRequire } from "node:module";
import { getCACertificates } from "node:tls";
import type { Cluster, Redis, RedisOptions } from "ioredis";
import type { Ms } from "../clock.ts";
import type { RedisTarget } from "./url.ts";

/** What all three kinds of client can do alike. */
export type RedisClient = Redis | Cluster;

/** How to connect. */
export interface RedisClientOptions {
  readonly target: RedisTarget;
  /** Another CA to trust beside the usual ones (PEM), for `rediss://`. */
  readonly caPem: string | undefined;
  /** After so long a command counts as failed. */
  readonly commandTimeoutMs: Ms;
  /** Lua, by the name of the method that runs it: EVALSHA, and EVAL where Redis does not know it yet. */
  readonly scripts: Readonly<Record<string, RedisScript>>;
}

/** A script, and how many of its arguments are keys; undefined where the first argument says so. */
export interface RedisScript {
  readonly lua: string;
  readonly numberOfKeys?: number;
}

/** Not before somebody has a Redis: it takes 10 MB. */
const load = createRequire(import.meta.url);

const CONNECT_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_DELAY_MS = 2_000;
/** A connection with commands under way that says nothing for so long is dead: a new one may work. */
const SILENT_MS = 5_000;

/**
 * A client that is not connected yet and never waits to be: while there is no connection each command fails at once.
 * It reconnects for ever, after 2 s at most. Errors of the connection are its `error` events.
 */
export function createRedisClient(options: RedisClientOptions): RedisClient {
  const { target } = options;
  const { Cluster, Redis } = load("ioredis") as typeof import("ioredis");
  const redisOptions = connectionOptions(options);
  const tls = target.tls ? { tls: tlsOptions(options.caPem) } : {};
  const shared = { scripts: { ...options.scripts }, lazyConnect: true, enableOfflineQueue: false };
  switch (target.kind) {
    case "standalone":
      return new Redis({
        ...redisOptions,
        ...shared,
        ...target.address,
        db: target.db,
        ...tls,
        retryStrategy,
      });
    case "sentinel":
      return new Redis({
        ...redisOptions,
        ...shared,
        name: target.masterName,
        sentinels: [...target.sentinels],
        sentinelUsername: target.sentinelUsername,
        sentinelPassword: target.sentinelPassword,
        sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
        sentinelRetryStrategy: retryStrategy,
        db: target.db,
        ...tls,
        ...(tls.tls !== undefined && { sentinelTLS: tls.tls }),
        enableTLSForSentinelMode: target.tls,
        retryStrategy,
      });
    case "cluster":
      return new Cluster([...target.nodes], {
        ...shared,
        redisOptions: { ...redisOptions, ...tls },
        clusterRetryStrategy: retryStrategy,
        clusterNodeRetryStrategy: retryStrategy,
        slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
        maxRedirections: 4,
        // Names stay names: a node's certificate is for its name, not for the address it has today.
        dnsLookup: (address, callback) => callback(null, address),
      });
  }
}

function connectionOptions({ target, commandTimeoutMs }: RedisClientOptions) {
  return {
    ...(target.username !== undefined && { username: target.username }),
    ...(target.password !== undefined && { password: target.password }),
    connectionName: "larder",
    // RESP3 has nothing that is needed here; RESP2 is spoken by every server and proxy.
    protocol: 2,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENT_MS,
    commandTimeout: commandTimeoutMs,
    // What was under way when the connection broke fails at once: whoever asked has gone on by then.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // After a failover the old master, now a replica, still answers: look for the new one.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  } satisfies RedisOptions;
}

function tlsOptions(caPem: string | undefined): { ca?: string[] } {
  return caPem === undefined ? {} : { ca: [...getCACertificates("default"), caPem] };
}

function retryStrategy(times: number): Ms {
  return Math.min(50 * 2 ** Math.min(times, 10), MAX_RECONNECT_DELAY_MS);
}
