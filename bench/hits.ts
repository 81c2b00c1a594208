import { check, type Checked } from "./check.ts";
import { cpuSeconds } from "./cpu.ts";
import { type Load, load } from "./load.ts";
import type { Row } from "./rows.ts";
import type { Server, ServerKind } from "./servers/launch.ts";
import { type Spread, spreadOf } from "./statistics.ts";

/** A server that is up. */
export interface Contestant {
  readonly server: Server;
  readonly kind: ServerKind;
}

/** What one server needed for one row. */
export interface Figures {
  /** CPU time of the server's processes, in microseconds for each request. */
  readonly cpuMicros: Spread;
  readonly requestsPerSecond: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  /** Larder's CPU per request over this server's, round by round: below 1 larder is cheaper. */
  readonly larderOver: Spread;
}

/** A row of the table of hits. */
export interface HitRow {
  readonly row: string;
  readonly servers: Readonly<Record<string, Figures | { readonly skipped: string }>>;
}

export interface Rounds {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly connections: number;
}

/** Loads every server before the first row, long enough for V8 to have compiled what is hot: the first row is no dearer. */
export async function warmUp(
  row: Row,
  contestants: readonly Contestant[],
  origin: string,
  { warmUpSeconds, connections }: Rounds,
): Promise<void> {
  for (const { server, kind } of contestants) {
    const where = await check(server, kind, origin, row);
    if (!("skipped" in where)) await load({ ...where, seconds: 6 * warmUpSeconds, connections });
  }
}

interface Round {
  readonly cpuMicros: number;
  readonly load: Load;
}

/** Loads all servers with one row, in turn, round after round, so that what disturbs the machine disturbs all. */
export async function measureRow(
  row: Row,
  contestants: readonly Contestant[],
  origin: string,
  rounds: Rounds,
): Promise<HitRow> {
  const checked = new Map<Server, Checked>();
  for (const { server, kind } of contestants) checked.set(server, await check(server, kind, origin, row));
  const measured = new Map<Server, Round[]>();
  for (const [server, where] of checked) {
    if ("skipped" in where) continue;
    await load({ ...where, seconds: rounds.warmUpSeconds, connections: rounds.connections });
    measured.set(server, []);
  }
  const order = [...measured];
  for (let round = 0; round < rounds.rounds; round++) {
    // Another one begins each time: to come after a heavy one is nobody's lot for good.
    const first = round % Math.max(1, order.length);
    for (const [server, taken] of [...order.slice(first), ...order.slice(0, first)]) {
      const where = checked.get(server);
      if (where !== undefined && !("skipped" in where)) taken.push(await measure(server, where, row, rounds));
    }
  }
  return { row: row.name, servers: figuresOf(checked, measured) };
}

type Where = Exclude<Checked, { readonly skipped: string }>;

async function measure(server: Server, where: Where, row: Row, rounds: Rounds): Promise<Round> {
  const before = cpuSeconds(server.pids);
  const taken = await load({ ...where, seconds: rounds.seconds, connections: rounds.connections });
  const used = cpuSeconds(server.pids) - before;
  const isRight = taken.broken === 0 && (row.status >= 400 || taken.refused === 0);
  if (!isRight)
    throw new Error(
      `${server.name} broke under ${row.name}: ${taken.refused} refused, ${taken.broken} broken`,
    );
  return { cpuMicros: (used / taken.requests) * 1e6, load: taken };
}

function figuresOf(
  checked: ReadonlyMap<Server, Checked>,
  measured: ReadonlyMap<Server, readonly Round[]>,
): HitRow["servers"] {
  const larder = [...measured].find(([server]) => server.name === "larder")?.[1] ?? [];
  const servers: Record<string, Figures | { skipped: string }> = {};
  for (const [server, where] of checked) {
    const rounds = measured.get(server);
    if ("skipped" in where || rounds === undefined) {
      servers[server.name] = "skipped" in where ? where : { skipped: "not measured" };
      continue;
    }
    if (rounds.some(({ load: { requests } }) => requests === 0)) {
      servers[server.name] = { skipped: "no answer within a round" };
      continue;
    }
    servers[server.name] = {
      cpuMicros: spreadOf(rounds.map(({ cpuMicros }) => cpuMicros)),
      requestsPerSecond: spreadOf(rounds.map(({ load: { requests, seconds } }) => requests / seconds)),
      p50Ms: spreadOf(rounds.map(({ load: { p50Ms } }) => p50Ms)),
      p99Ms: spreadOf(rounds.map(({ load: { p99Ms } }) => p99Ms)),
      larderOver: spreadOf(rounds.map(({ cpuMicros }, i) => (larder[i]?.cpuMicros ?? NaN) / cpuMicros)),
    };
  }
  return servers;
}
