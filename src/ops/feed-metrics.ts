import { Counter, Gauge, type Registry } from "prom-client";

/** How the change feed is doing. */
export interface FeedGauges {
  /** Whether this process is the one that follows. */
  readonly leads: boolean;
  readonly serial: number | undefined;
  /** Since upstream was last asked with everything answered; undefined where that never was. */
  readonly lagMs: number | undefined;
}

/** One question to the change feed: what it came to, in a word of a small closed set, and how many projects it marked. */
export interface FeedSample {
  readonly outcome: string;
  readonly marks: number;
}

/**
 * The metrics of the change feed.
 * @param source read when somebody asks for the metrics; undefined where there is no feed: then nothing is shown of it
 */
export function feedMetrics(
  registers: Registry[],
  source: (() => FeedGauges | undefined) | undefined,
): { readonly feed: (sample: FeedSample) => void; readonly refresh: () => void } {
  if (source === undefined) return { feed: () => undefined, refresh: () => undefined };
  const polls = new Counter({
    name: "larder_feed_polls_total",
    help: "Questions to the change feed, by what they came to.",
    labelNames: ["outcome"],
    registers,
  });
  const marks = new Counter({
    name: "larder_feed_marks_total",
    help: "Projects that the change feed told of, once for each question.",
    registers,
  });
  const leads = new Gauge({
    name: "larder_feed_leads",
    help: "1 on the node that follows the change feed, else 0.",
    registers,
  });
  const serial = new Gauge({
    name: "larder_feed_serial",
    help: "Serial up to which the change feed has been followed.",
    aggregator: "max",
    registers,
  });
  const lag = new Gauge({
    name: "larder_feed_lag_seconds",
    help: "Time since every change upstream was known.",
    aggregator: "max",
    registers,
  });
  // Until there is something to say nothing is said: 0 would look like a good answer.
  serial.remove();
  lag.remove();
  return {
    feed: ({ outcome, marks: marked }) => {
      polls.inc({ outcome });
      marks.inc(marked);
    },
    refresh: () => {
      const state = source();
      if (state === undefined) return;
      leads.set(state.leads ? 1 : 0);
      if (state.serial !== undefined) serial.set(state.serial);
      if (state.lagMs !== undefined) lag.set(state.lagMs / 1_000);
    },
  };
}
