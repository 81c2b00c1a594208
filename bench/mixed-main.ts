import { Pool } from "undici";
import { quantile } from "./statistics.ts";
import { mixedPath, zipfSchedule } from "./zipf.ts";

/**
 * The open-loop load, in a process of its own: requests leave when the schedule says, whatever became of those before,
 * and a request's time counts from when it was to leave. `wrk` waits for answers, so it never sees a queue.
 */

/** What the load is told. */
export interface MixedOrder {
  readonly url: string;
  /** Asked for again and again beforehand, so that V8 has compiled the load when it counts. */
  readonly warmUpUrl: string;
  readonly seed: number;
  readonly projects: number;
  readonly requests: number;
  readonly perSecond: number;
}

/** What the load saw. */
export interface MixedLoad {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The same of the later half of the requests, when most of what is wanted is held. */
  readonly laterP50Ms: number;
  readonly laterP99Ms: number;
  /** How late requests left, which is in the other figures: the load's own doing. */
  readonly lateP50Ms: number;
  readonly lateP99Ms: number;
  /** Share of a core that the load itself used. */
  readonly ownCpuShare: number;
  /** Answers that were no 200 with a body, and requests that broke. */
  readonly failed: number;
}

const CONNECTIONS = 256;
const WARM_UP_REQUESTS = 3_000;

async function warmUp(url: string): Promise<void> {
  const { origin, pathname: path } = new URL(url);
  const pool = new Pool(origin, { connections: 4, pipelining: 1 });
  for (let i = 0; i < WARM_UP_REQUESTS; i++) {
    const { body } = await pool.request({ method: "GET", path });
    await body.dump();
  }
  await pool.close();
}

async function send({ url, warmUpUrl, seed, projects, requests, perSecond }: MixedOrder): Promise<MixedLoad> {
  const schedule = zipfSchedule(seed, projects, requests);
  await warmUp(warmUpUrl);
  const pool = new Pool(url, { connections: CONNECTIONS, pipelining: 1, headersTimeout: 60_000 });
  const took = new Float64Array(requests);
  const late = new Float64Array(requests);
  let failed = 0;
  const one = async (i: number, dueAt: number): Promise<void> => {
    const { project, coding } = schedule[i] ?? { project: 0, coding: "gzip" };
    try {
      const { statusCode, body } = await pool.request({
        method: "GET",
        path: mixedPath(project),
        headers: { "accept-encoding": coding },
      });
      let bytes = 0;
      for await (const piece of body) bytes += (piece as Buffer).length;
      if (statusCode !== 200 || bytes === 0) failed++;
    } catch {
      failed++; // told, and the run goes on
    }
    took[i] = performance.now() - dueAt;
  };
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const all: Promise<void>[] = [];
  await new Promise<void>((resolve) => {
    const sendDue = (): void => {
      const now = performance.now();
      for (let i = all.length; i < requests; i++) {
        const dueAt = startedAt + (i * 1000) / perSecond;
        if (dueAt > now) break;
        late[i] = now - dueAt;
        all.push(one(i, dueAt));
      }
      if (all.length === requests) resolve();
      else setTimeout(sendDue, 1);
    };
    sendDue();
  });
  await Promise.all(all);
  const { user, system } = process.cpuUsage(cpu);
  const wholeMs = performance.now() - startedAt;
  await pool.close();
  const later = took.slice(Math.floor(requests / 2)).sort();
  took.sort();
  late.sort();
  return {
    p50Ms: quantile(took, 0.5),
    p99Ms: quantile(took, 0.99),
    maxMs: quantile(took, 1),
    laterP50Ms: quantile(later, 0.5),
    laterP99Ms: quantile(later, 0.99),
    lateP50Ms: quantile(late, 0.5),
    lateP99Ms: quantile(late, 0.99),
    ownCpuShare: (user + system) / 1000 / wholeMs,
    failed,
  };
}

process.once("message", (order) => void send(order as MixedOrder).then((load) => process.send?.(load)));
