import { Counter, Histogram, type Registry } from "prom-client";
import type { Ms } from "../clock.ts";

/** One request as it was answered. Every word comes from a small closed set, never from the client. */
export interface RequestSample {
  /** The route's name, not the path. */
  readonly route: string;
  /** In one word: `hit`, `hit-stale`, RFC 9211's reason to forward (`miss`, `stale`, `request`), or `local`. */
  readonly cache: string;
  readonly status: number;
  readonly durationMs: Ms;
}

// From a memory hit to the longest patience of a client, in seconds.
const BUCKET_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

/** How long the requests of one cache status took. */
interface Durations {
  /** By bucket, the last for what is longer than all; not cumulated. */
  readonly counts: number[];
  sumSeconds: number;
}

/**
 * Counts requests. This is on the path of every hit, so it adds to plain numbers, and makes metrics of them when somebody
 * asks: prom-client's own way costs ten times that for each request.
 */
export class RequestTally {
  /** By cache status, then by route: requests by class of HTTP status, 0 to 9. */
  readonly #totals = new Map<string, Map<string, number[]>>();
  readonly #durations = new Map<string, Durations>();

  constructor(registers: Registry[]) {
    const totals = this.#totals;
    new Counter({
      name: "larder_requests_total",
      help: "Requests answered, by route, cache status (RFC 9211) and class of HTTP status.",
      labelNames: ["route", "cache", "status"],
      registers,
      collect() {
        this.reset();
        for (const [cache, byRoute] of totals)
          for (const [route, counts] of byRoute)
            for (const [status, count] of counts.entries())
              if (count > 0) this.inc({ route, cache, status: `${status}xx` }, count);
      },
    });
    new DurationsHistogram(this.#durations, registers);
  }

  note({ route, cache, status, durationMs }: RequestSample): void {
    let byRoute = this.#totals.get(cache);
    if (byRoute === undefined) this.#totals.set(cache, (byRoute = new Map<string, number[]>()));
    let counts = byRoute.get(route);
    if (counts === undefined) byRoute.set(route, (counts = zeros(10)));
    add(counts, Math.floor(status / 100));
    let durations = this.#durations.get(cache);
    if (durations === undefined) {
      durations = { counts: zeros(BUCKET_SECONDS.length + 1), sumSeconds: 0 };
      this.#durations.set(cache, durations);
    }
    const seconds = durationMs / 1000;
    let bucket = 0;
    while (bucket < BUCKET_SECONDS.length && seconds > (BUCKET_SECONDS[bucket] ?? 0)) bucket++;
    add(durations.counts, bucket);
    durations.sumSeconds += seconds;
  }
}

/** prom-client's histogram, whose numbers are counted elsewhere. */
class DurationsHistogram extends Histogram<"cache"> {
  readonly #durations: ReadonlyMap<string, Durations>;

  constructor(durations: ReadonlyMap<string, Durations>, registers: Registry[]) {
    super({ ...DURATION, labelNames: ["cache"], buckets: BUCKET_SECONDS, registers });
    this.#durations = durations;
  }

  /** Where prom-client takes a histogram's samples from, for its text and for its JSON. */
  getForPromString() {
    const values = [...this.#durations].flatMap(([cache, durations]) => samplesOf(cache, durations));
    return Promise.resolve({ ...DURATION, type: "histogram", aggregator: "sum", values });
  }
}

const DURATION = {
  name: "larder_request_duration_seconds",
  help: "Time from a request to the end of its answer, by cache status.",
};

function samplesOf(cache: string, { counts, sumSeconds }: Durations) {
  const sharedLabels = { cache };
  const sample = (metricName: string, value: number, labels: object) => ({
    metricName: `${DURATION.name}_${metricName}`,
    value,
    labels,
    sharedLabels,
  });
  let upTo = 0;
  const buckets = counts.map((count, i) =>
    sample("bucket", (upTo += count), { le: BUCKET_SECONDS[i] ?? "+Inf" }),
  );
  return [...buckets, sample("sum", sumSeconds, {}), sample("count", upTo, {})];
}

function zeros(length: number): number[] {
  return Array.from({ length }, () => 0);
}

function add(counts: number[], at: number): void {
  counts[at] = (counts[at] ?? 0) + 1;
}
