import { cacheStatusWord } from "../cache/cache-status.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Log } from "../ops/log.ts";
import type { Metrics } from "../ops/metrics.ts";
import type { DoneExchange } from "../routes/exchange.ts";

/** The end of a request: one log line and its metrics, from one value. */
export function observe({ incoming, outgoing }: DoneExchange, metrics: Metrics, log: Log): void {
  const { route, cacheStatus } = outgoing.outcome;
  const cache = cacheStatusWord(cacheStatus);
  const durationMs = performance.now() - outgoing.startedAtMs;
  metrics.request({ route, cache, status: outgoing.statusCode, durationMs });
  const isCollapsed = cacheStatus.kind === "forward" && cacheStatus.collapsed;
  if (isCollapsed) metrics.collapsed();
  if ((isCollapsed || cacheStatus.kind === "hit") && outgoing.statusCode < 500) metrics.avoided();
  log.request({
    method: incoming.method,
    path: pathOf(incoming.url),
    status: outgoing.statusCode,
    cache,
    ms: Math.round(durationMs * 100) / 100,
    agent: incoming.headers["user-agent"],
    isAborted: !outgoing.writableFinished,
  });
}

const LONGEST_PATH_TOLD = 256;

function pathOf(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  const queryAt = url.indexOf("?");
  return url.slice(0, queryAt < 0 ? LONGEST_PATH_TOLD : Math.min(queryAt, LONGEST_PATH_TOLD));
}

/** What upstream did is told in a word; a fault of larder's own needs its trace. */
export function toldOf(error: unknown): Record<string, unknown> {
  if (!(error instanceof UpstreamUnavailable)) return { err: error };
  return { failure: error.failure, upstreamStatus: error.status, detail: error.message };
}
