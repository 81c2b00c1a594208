import { join, resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { filesDirectory } from "../blobs/blobs.ts";
import type { Clock, Ms } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { headProbe } from "../mirrors/head-probe.ts";
import { createMirrors, type Mirrors, type MirrorState } from "../mirrors/mirrors.ts";
import type { Limiter } from "../fleet/limiter.ts";
import type { Log } from "../ops/log.ts";
import type { Metrics } from "../ops/metrics.ts";
import type { HandOver } from "../routes/hand-over.ts";
import type { FilesTarget } from "../routes/url-bases.ts";
import { createEgress, type Egress } from "../upstream/dispatcher.ts";
import { createUpstream, type Upstream } from "../upstream/upstream.ts";

/** The way out, as it is configured. */
export function openEgress(config: Config): Egress {
  return createEgress({
    httpProxy: config.httpProxy,
    httpsProxy: config.httpsProxy,
    noProxy: config.noProxy,
    caPem: config.ca?.pem,
    connectTimeoutMs: config.connectTimeoutMs,
    connections: config.upstreamConnections,
  });
}

/** One honest name for all clients, with a way to reach who runs it (facts/pypi.md §4.4). */
function userAgent(config: Config): string {
  const name = `larder/${packageJson.version}`;
  return config.contact === undefined ? name : `${name} (+${config.contact})`;
}

/** One upstream host, and the way to it. */
export interface UpstreamHost {
  readonly baseUrl: string;
  readonly clock: Clock;
  readonly egress: Egress;
  readonly metrics: Metrics;
  readonly limiter: Limiter;
  /** Longest wait for an answer that is read whole, or for the head of one that is not, if below that of the config. */
  readonly wholeMs?: Ms;
}

/** The index, or the files' host. */
export function openUpstream(
  config: Config,
  { baseUrl, clock, egress, metrics, limiter, wholeMs = config.wholeTimeoutMs }: UpstreamHost,
): Upstream {
  return createUpstream({
    baseUrl,
    egress,
    userAgent: userAgent(config),
    clock,
    limiter,
    timeouts: {
      firstByteMs: config.firstByteTimeoutMs,
      betweenBytesMs: config.betweenBytesTimeoutMs,
      wholeMs: Math.min(wholeMs, config.wholeTimeoutMs),
    },
    maxDocumentBytes: config.maxDocumentBytes,
    offline: config.offline,
    onExchange: (report) => metrics.exchange(report),
  });
}

/** The mirrors that are configured; undefined for none. */
export function watchMirrors(config: Config, clock: Clock, egress: Egress, log: Log): Mirrors | undefined {
  if (config.files.kind !== "mirrors") return undefined;
  return createMirrors({
    bases: config.files.bases,
    probe: headProbe({ dispatcher: egress.pooled, userAgent: userAgent(config) }),
    intervalMs: config.mirrorProbeMs,
    clock,
    onChange: (mirror: MirrorState) =>
      log.warn(mirror, mirror.healthy ? "mirror is healthy" : "mirror is not healthy"),
  });
}

/** Where the file URLs in documents point. */
export function filesTarget(config: Config, mirrors: Mirrors | undefined): FilesTarget {
  if (mirrors !== undefined) return { kind: "mirror", current: () => mirrors.current() };
  return { kind: config.files.kind === "larder" ? "larder" : "upstream" };
}

/** How files are handed over to a front, if they are. */
export function handOverOf({
  accel,
  trustedProxies,
  dataDirectory,
  filesDirectory: shared,
}: Config): HandOver | undefined {
  if (accel.kind === "none") return undefined;
  const directory = resolve(shared ?? filesDirectory(dataDirectory));
  return {
    field: (name) =>
      accel.kind === "x-sendfile"
        ? ["X-Sendfile", join(directory, name)]
        : ["X-Accel-Redirect", `${accel.prefix}${name}`],
    isFront: (address) => trustedProxies.trusts(address),
  };
}
