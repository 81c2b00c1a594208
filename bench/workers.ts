import { join } from "node:path";
import { cpuSeconds, treesOf } from "./cpu.ts";
import { load } from "./load.ts";
import type { Origin } from "./origin.ts";
import { missingCoreShares, shareCore } from "./servers/core-share.ts";
import { startLarder } from "./servers/larder.ts";
import type { Server } from "./servers/launch.ts";
import { type Spread, spreadOf } from "./statistics.ts";

/** Larder with one worker beside larder with two, both on every core, which they share with the load. */
export interface Workers {
  readonly row: string;
  readonly one: WorkerFigures;
  readonly two: WorkerFigures;
  /** Requests per second of two over one, in the same round. */
  readonly ratio: Spread;
  /** Twice the requests per CPU second of two over those of one: what two would reach had they cores for themselves. */
  readonly cpuLimitedRatio: Spread;
  /** The same with no more than a part of a core for each process, so that there is enough left for the load. */
  readonly bounded: Bounded | { readonly skipped: string };
}

export interface Bounded {
  /** Of a core, for each process. */
  readonly share: number;
  readonly oneRequestsPerSecond: Spread;
  readonly twoRequestsPerSecond: Spread;
  readonly ratio: Spread;
}

export interface WorkerFigures {
  readonly requestsPerSecond: Spread;
  readonly cpuMicros: Spread;
  /** CPU seconds that the server used each second. */
  readonly coresBusy: Spread;
}

export interface WorkersPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

const ROW = { path: "/pypi/30k/json", headers: { "Accept-Encoding": "gzip" } };

/** Out of memory the load needs as much of the cores as the server does; out of the store the server is nearly alone on them. */
const ROWS: readonly { readonly row: string; readonly env: Readonly<Record<string, string>> }[] = [
  { row: "JSON 30 kB gzip", env: {} },
  { row: "the same, out of SQLite", env: { LARDER_MEMORY: "0" } },
];
const CONNECTIONS = 64;

// Two workers and what loads them need less than two cores then.
const SHARE = 0.3;

interface Round {
  readonly requestsPerSecond: number;
  readonly cpuMicros: number;
  readonly coresBusy: number;
}

/** @throws Error where larder does not start with two workers */
export async function measureWorkers(
  plan: WorkersPlan,
  origin: Origin,
  directory: string,
): Promise<readonly Workers[]> {
  const taken: Workers[] = [];
  for (const [i, { row, env }] of ROWS.entries())
    taken.push(await measureRow(plan, origin, join(directory, `workers-${i}`), row, env));
  return taken;
}

async function measureRow(
  plan: WorkersPlan,
  origin: Origin,
  directory: string,
  row: string,
  env: Readonly<Record<string, string>>,
): Promise<Workers> {
  const start = (workers: number): Promise<Server> =>
    startLarder(
      { origin: origin.url, directory: join(directory, String(workers)) },
      { env: { ...env, LARDER_WORKERS: String(workers) }, isOnAllCores: true },
    );
  const servers: Server[] = [];
  const undo: (() => void)[] = [];
  try {
    servers.push(await start(1));
    servers.push(await start(2));
    const rounds = servers.map((): Round[] => []);
    for (const server of servers) await measureRound(server, 6 * plan.warmUpSeconds);
    for (let round = 0; round < plan.rounds; round++) {
      for (const [i, server] of servers.entries()) rounds[i]?.push(await measureRound(server, plan.seconds));
    }
    const unbounded = compared(row, rounds[0] ?? [], rounds[1] ?? []);
    return { ...unbounded, bounded: await measureBounded(plan, servers, undo) };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    for (const each of undo) each();
  }
}

async function measureBounded(
  plan: WorkersPlan,
  servers: readonly Server[],
  undo: (() => void)[],
): Promise<Workers["bounded"]> {
  const skipped = missingCoreShares();
  if (skipped !== undefined) return { skipped };
  for (const { pids } of servers) undo.push(shareCore(treesOf(pids), SHARE));
  const taken = servers.map((): number[] => []);
  for (const server of servers) await measureRound(server, plan.warmUpSeconds);
  for (let round = 0; round < plan.rounds; round++) {
    for (const [i, server] of servers.entries())
      taken[i]?.push((await measureRound(server, plan.seconds)).requestsPerSecond);
  }
  const [one = [], two = []] = taken;
  return {
    share: SHARE,
    oneRequestsPerSecond: spreadOf(one),
    twoRequestsPerSecond: spreadOf(two),
    ratio: spreadOf(one.map((first, i) => (two[i] ?? NaN) / first)),
  };
}

async function measureRound(server: Server, seconds: number): Promise<Round> {
  const before = cpuSeconds(server.pids);
  const url = `${server.url}${ROW.path}`;
  const taken = await load({
    url,
    headers: ROW.headers,
    seconds,
    connections: CONNECTIONS,
    isOnAllCores: true,
  });
  const used = cpuSeconds(server.pids) - before;
  if (taken.refused + taken.broken > 0) throw new Error(`${server.name} broke under the row of workers`);
  return {
    requestsPerSecond: taken.requests / taken.seconds,
    cpuMicros: (used / taken.requests) * 1e6,
    coresBusy: used / taken.seconds,
  };
}

function compared(row: string, one: readonly Round[], two: readonly Round[]): Omit<Workers, "bounded"> {
  const figures = (rounds: readonly Round[]): WorkerFigures => ({
    requestsPerSecond: spreadOf(rounds.map(({ requestsPerSecond }) => requestsPerSecond)),
    cpuMicros: spreadOf(rounds.map(({ cpuMicros }) => cpuMicros)),
    coresBusy: spreadOf(rounds.map(({ coresBusy }) => coresBusy)),
  });
  const ratios = (of: (first: Round, second: Round) => number): Spread =>
    spreadOf(one.flatMap((first, i) => (two[i] === undefined ? [] : [of(first, two[i])])));
  return {
    row,
    one: figures(one),
    two: figures(two),
    ratio: ratios((first, second) => second.requestsPerSecond / first.requestsPerSecond),
    cpuLimitedRatio: ratios((first, second) => (2 * first.cpuMicros) / second.cpuMicros),
  };
}
