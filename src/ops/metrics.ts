import { collectDefaultMetrics, Counter, Histogram, Registry } from "prom-client";
import type { Ms } from "../clock.ts";
import type { MetricsSnapshot } from "./metrics-sum.ts";
import { type RequestSample, RequestTally } from "./request-tally.ts";
import { createGauges, type GaugeSources } from "./gauges.ts";
import { feedMetrics, type FeedGauges, type FeedSample } from "./feed-metrics.ts";

/** What gauges read when, and only when, somebody asks for the metrics. */
export interface MetricSources extends GaugeSources {
  /** The change feed; absent where there is none. */
  readonly feed?: () => FeedGauges | undefined;
}

/** One exchange with upstream. */
export interface ExchangeSample {
  /** `ok`, `not-modified`, `absent` or an `UpstreamFailure`. */
  readonly outcome: string;
  readonly ms: Ms;
  /** Of a document, as sent; files are counted where they are stored. */
  readonly bytes: number;
  /** Whether it was sent because one before it had failed. */
  readonly isRetry: boolean;
}

/** What happened in the file cache. */
export type BlobSample =
  | { readonly kind: "fill"; readonly outcome: string; readonly bytes: number }
  | { readonly kind: "resumed" }
  | { readonly kind: "evicted"; readonly bytes: number };

export interface Metrics {
  blob(sample: BlobSample): void;
  /** A file was uploaded to the bucket, or was not. */
  uploaded(outcome: "stored" | "failed"): void;
  request(sample: RequestSample): void;
  exchange(sample: ExchangeSample): void;
  feed(sample: FeedSample): void;
  /** A request joined one that was already asking upstream for the same. */
  collapsed(): void;
  /** A request was answered without a request upstream. */
  avoided(): void;
  /** A failure was survived; `what` failed, a word of a small closed set. */
  survived(what: string): void;
  /** For the response that holds `render()`. */
  readonly contentType: string;
  /** Everything in the text format of Prometheus. Never rejects because of a source: its gauges are left out then. */
  render(): Promise<string>;
  /** The same, to be summed with that of other processes (metrics-sum.ts). */
  snapshot(): Promise<MetricsSnapshot>;
}

// From a nearby CDN to the time-out of the whole exchange.
const EXCHANGE_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/**
 * larder's metrics in a registry of their own, those of the process among them, all named `larder_...`.
 *
 * @param onSurvived told when a source fails while the metrics are rendered
 */
export function createMetrics(
  sources: MetricSources,
  onSurvived: (what: string, key: string, error: unknown) => void,
): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: "larder_" });
  const refreshGauges = createGauges(registers, sources, onSurvived);
  const requests = new RequestTally(registers);
  const { feed, refresh: refreshFeed } = feedMetrics(registers, sources.feed);
  return {
    request: (sample) => requests.note(sample),
    ...exchangeMetrics(registers),
    ...eventMetrics(registers),
    ...blobMetrics(registers),
    feed,
    contentType: registry.contentType,
    async render() {
      refreshFeed();
      await refreshGauges();
      return registry.metrics();
    },
    async snapshot() {
      refreshFeed();
      await refreshGauges();
      return registry.getMetricsAsJSON();
    },
  };
}

function exchangeMetrics(registers: Registry[]): Pick<Metrics, "exchange"> {
  const total = new Counter({
    name: "larder_upstream_requests_total",
    help: "Requests sent upstream, by outcome.",
    labelNames: ["outcome"],
    registers,
  });
  const seconds = new Histogram({
    name: "larder_upstream_duration_seconds",
    help: "Time from a request upstream to the end of its answer, by outcome.",
    labelNames: ["outcome"],
    buckets: EXCHANGE_SECONDS,
    registers,
  });
  const received = new Counter({
    name: "larder_upstream_document_bytes_total",
    help: "Bytes of documents received from upstream, as sent.",
    registers,
  });
  const retries = new Counter({
    name: "larder_upstream_retries_total",
    help: "Requests sent upstream because the same had failed before.",
    registers,
  });
  return {
    exchange({ outcome, ms, bytes, isRetry }) {
      total.inc({ outcome });
      seconds.observe({ outcome }, ms / 1_000);
      received.inc(bytes);
      if (isRetry) retries.inc();
    },
  };
}

function eventMetrics(registers: Registry[]): Pick<Metrics, "collapsed" | "avoided" | "survived"> {
  const collapsed = new Counter({
    name: "larder_collapsed_total",
    help: "Requests that joined another's request upstream for the same.",
    registers,
  });
  // On the path of every hit: a number, made a metric of when somebody asks.
  let avoidedCount = 0;
  new Counter({
    name: "larder_upstream_avoided_total",
    help: "Requests answered without a request upstream.",
    registers,
    collect() {
      this.reset();
      this.inc(avoidedCount);
    },
  });
  const survived = new Counter({
    name: "larder_survived_total",
    help: "Failures that were survived, by what failed.",
    labelNames: ["what"],
    registers,
  });
  return {
    collapsed: () => collapsed.inc(),
    avoided: () => {
      avoidedCount++;
    },
    survived: (what) => survived.inc({ what }),
  };
}

function blobMetrics(registers: Registry[]): Pick<Metrics, "blob" | "uploaded"> {
  const fills = new Counter({
    name: "larder_file_fills_total",
    help: "Files fetched from upstream, by how it ended.",
    labelNames: ["outcome"],
    registers,
  });
  const bytes = new Counter({
    name: "larder_file_fill_bytes_total",
    help: "Bytes of files fetched from upstream.",
    registers,
  });
  const resumed = new Counter({
    name: "larder_file_fills_resumed_total",
    help: "Downloads from upstream that broke and were continued by Range.",
    registers,
  });
  const evicted = new Counter({
    name: "larder_file_evictions_total",
    help: "Files that had to go for room on the disk.",
    registers,
  });
  const evictedBytes = new Counter({
    name: "larder_file_evicted_bytes_total",
    help: "Bytes of files that had to go for room on the disk.",
    registers,
  });
  const uploads = new Counter({
    name: "larder_s3_uploads_total",
    help: "Files uploaded to the bucket, by how it ended.",
    labelNames: ["outcome"],
    registers,
  });
  return {
    uploaded: (outcome) => uploads.inc({ outcome }),
    blob(sample) {
      if (sample.kind === "resumed") resumed.inc();
      else if (sample.kind === "evicted") {
        evicted.inc();
        evictedBytes.inc(sample.bytes);
      } else {
        fills.inc({ outcome: sample.outcome });
        bytes.inc(sample.bytes);
      }
    },
  };
}
