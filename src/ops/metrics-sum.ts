import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";

/** The metrics of one process, as JSON: prom-client's own form. */
export type MetricsSnapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** Why a worker has been replaced: it was `lost`, or it was `rolled` because an operator asked for that. */
export type ReplacedBecause = "lost" | "rolled";

export interface MetricsSum {
  /** What a worker's counters were, now or at its end. */
  remember(workerId: number, snapshot: MetricsSnapshot): void;
  /** A worker is gone: its counters stay in the sum as they were last known, so that none goes back. */
  gone(workerId: number): void;
  replaced(why: ReplacedBecause): void;
  /** A worker did not tell its metrics in time. */
  silent(): void;
  /**
   * All of it in the text format of Prometheus.
   * @param silent workers of which there is nothing new: they are in it with their counters alone
   */
  render(silent: ReadonlySet<number>): Promise<string>;
}

const PROCESS = "larder_process_";

/**
 * The metrics of the primary's workers as those of one larder, under the names that each of them uses. Counters are
 * added up over all the workers that there ever were; gauges over those there are, each in the way that it says
 * itself (`aggregator`). `larder_process_...` has the primary's part in it.
 *
 * @param workersUp how many workers take requests
 */
export function createMetricsSum(workersUp: () => number): MetricsSum {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: "larder_" });
  new Gauge({
    name: "larder_workers",
    help: "Workers that take requests.",
    registers,
    collect() {
      this.set(workersUp());
    },
  });
  const replacements = new Counter({
    name: "larder_worker_restarts_total",
    help: "Workers that were replaced: lost, or rolled on SIGHUP.",
    labelNames: ["why"],
    registers,
  });
  for (const why of ["lost", "rolled"]) replacements.inc({ why }, 0);
  const silences = new Counter({
    name: "larder_worker_silent_total",
    help: "Times that a worker did not tell its metrics in time: the sum then has its counters as they were before.",
    registers,
  });
  const last = new Map<number, MetricsSnapshot>();
  let ended: MetricsSnapshot = [];
  return {
    remember: (workerId, snapshot) => void last.set(workerId, snapshot),
    gone(workerId) {
      const snapshot = last.get(workerId);
      last.delete(workerId);
      // One sum, however many there were.
      if (snapshot !== undefined) ended = addUp([ended, countersOf(snapshot)]);
    },
    replaced: (why) => replacements.inc({ why }),
    silent: () => silences.inc(),
    async render(silent) {
      const own = await registry.getMetricsAsJSON();
      const workers = [...last].map(([id, snapshot]) => (silent.has(id) ? countersOf(snapshot) : snapshot));
      return AggregatorRegistry.aggregate([ownPart(own), ended, ...workers]).metrics();
    },
  };
}

/** What only ever grows. */
function countersOf(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter(({ type }) => String(type) !== "gauge");
}

function addUp(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  return AggregatorRegistry.aggregate([...snapshots]).getMetricsAsArray() as MetricsSnapshot;
}

/** The primary answers no requests: how its event loop does, for one, says nothing. It began when larder did. */
function ownPart(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot
    .filter(({ name }) => name.startsWith(PROCESS) || name.startsWith("larder_worker"))
    .map((metric) =>
      metric.name === `${PROCESS}start_time_seconds` ? { ...metric, aggregator: "first" as const } : metric,
    );
}
