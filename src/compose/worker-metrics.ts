import type { Ms } from "../clock.ts";
import type { Metrics } from "../ops/metrics.ts";
import type { MetricsSnapshot, MetricsSum } from "../ops/metrics-sum.ts";
import { op } from "../workers/channel.ts";
import type { PrimaryLink } from "../workers/primary-link.ts";
import type { Switchboard } from "../workers/switchboard.ts";

/** Prometheus' text and its content type. */
interface Rendered {
  readonly contentType: string;
  readonly text: string;
}

// The primary asks each worker, for the sum that it is asked for.
const SNAPSHOT = op<undefined, MetricsSnapshot>("metrics: snapshot");
const SUM = op<undefined, string>("metrics: sum");
/** A worker that ends hands its counters over. */
const FAREWELL = op<MetricsSnapshot>("metrics: farewell");

// A worker that is busy for longer than this is left out; Prometheus gives up after 10 s.
const SNAPSHOT_MS: Ms = 1_000;
const SUM_MS: Ms = 3_000;

/** In the primary: answers each worker that is asked for the metrics with the sum of them all. */
export function answerMetrics(switchboard: Switchboard, sum: MetricsSum): void {
  switchboard.desk.hear(FAREWELL, (snapshot, from) => sum.remember(from, snapshot));
  switchboard.onGone((workerId) => sum.gone(workerId));
  switchboard.desk.answer(SUM, async () => {
    const silent = new Set<number>();
    const asked = switchboard.workerIds().map(async (id) => {
      try {
        sum.remember(id, await switchboard.call(id, SNAPSHOT, undefined, SNAPSHOT_MS));
      } catch {
        sum.silent();
        silent.add(id);
      }
    });
    await Promise.all(asked);
    return sum.render(silent);
  });
}

/** In a worker: tells the primary what it asks, and asks it for the sum. */
export function sumOfWorkers({ desk, line }: PrimaryLink, metrics: Metrics): () => Promise<Rendered> {
  desk.answer(SNAPSHOT, () => metrics.snapshot());
  return async () => ({
    contentType: metrics.contentType,
    text: await line.call(SUM, undefined, SUM_MS),
  });
}

/** In a worker that ends: hands its counters over. */
export async function handOver({ line }: PrimaryLink, metrics: Metrics): Promise<void> {
  line.tell(FAREWELL, await metrics.snapshot());
}
