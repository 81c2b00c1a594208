import type { Ms } from "../clock.ts";
import type { UpstreamUnavailable } from "../errors.ts";

/** Why a request went forward (RFC 9211 §2.2). */
export type ForwardReason = "miss" | "stale" | "request";

/**
 * How the cache handled one request (RFC 9211 §2). A closed union: a hit was not forwarded, a forward is no hit.
 * `local` answers never had a stored response to look for (redirects, refusals, health).
 */
export type CacheStatus =
  | { readonly kind: "hit"; readonly ttlMs: Ms; readonly detail?: string | undefined }
  | {
      readonly kind: "forward";
      readonly fwd: ForwardReason;
      /** Upstream's status, where it gave one (304 included). */
      readonly fwdStatus: number | undefined;
      readonly stored: boolean;
      readonly collapsed: boolean;
      /** The freshness left of what is served; undefined when nothing is. */
      readonly ttlMs: Ms | undefined;
      readonly detail?: string | undefined;
    }
  | { readonly kind: "local" };

export const LOCAL: CacheStatus = { kind: "local" };

/** The status of a request that went forward in vain, with nothing held. */
export function missed(error: UpstreamUnavailable): CacheStatus {
  return {
    kind: "forward",
    fwd: "miss",
    fwdStatus: error.status,
    stored: false,
    collapsed: false,
    ttlMs: undefined,
    detail: error.failure,
  };
}

/** The header's value. `detail` must be an sf-token (RFC 9651 §3.3.4). */
export function renderCacheStatus(status: CacheStatus): string {
  switch (status.kind) {
    case "hit":
      return `larder; hit; ttl=${toSeconds(status.ttlMs)}${detail(status.detail)}`;
    case "forward":
      return (
        `larder; fwd=${status.fwd}` +
        (status.fwdStatus === undefined ? "" : `; fwd-status=${status.fwdStatus}`) +
        (status.stored ? "; stored" : "") +
        (status.collapsed ? "; collapsed" : "") +
        (status.ttlMs === undefined ? "" : `; ttl=${toSeconds(status.ttlMs)}`) +
        detail(status.detail)
      );
    case "local":
      return "larder; detail=local";
  }
}

/**
 * One word for metrics and logs: `hit`, `hit-stale` (served past its freshness, without waiting for upstream), the reason of
 * the forward, or `local`.
 */
export function cacheStatusWord(status: CacheStatus): "hit" | "hit-stale" | ForwardReason | "local" {
  if (status.kind === "local") return "local";
  if (status.kind === "forward") return status.fwd;
  return status.ttlMs > 0 ? "hit" : "hit-stale";
}

function detail(word: string | undefined): string {
  return word === undefined ? "" : `; detail=${word}`;
}

function toSeconds(ms: Ms): number {
  return Math.floor(ms / 1000);
}
