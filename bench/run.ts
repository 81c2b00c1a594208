import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ColdRow, measureCold, measurePause, type Pause } from "./cold.ts";
import { residentBytes } from "./cpu.ts";
import { measureHerd } from "./herd.ts";
import { type Contestants, KINDS, startContestants } from "./contestants.ts";
import { judge } from "./goals.ts";
import { type Contestant, type HitRow, measureRow, warmUp } from "./hits.ts";
import { measureMixed } from "./mixed.ts";
import { type Origin, startOrigin } from "./origin.ts";
import { type Plan, readPlan } from "./plan.ts";
import { plot } from "./plot.ts";
import { report } from "./report.ts";
import { circumstances, hasSourceChanged, type Results } from "./results.ts";
import { hitRows } from "./rows.ts";
import { compileLarder, larder, startLarder } from "./servers/larder.ts";
import {
  larderFromRedis,
  larderFromSqlite,
  larderOverRedis,
  startLarderThatMovesNothing,
} from "./servers/larder-kinds.ts";
import { keepOffServersCore, missingCommand, type Server } from "./servers/launch.ts";
import { nginxDouble, nginxPlain, nginxTuned } from "./servers/nginx.ts";
import { varnish } from "./servers/varnish.ts";
import { measureStartUp } from "./start-up.ts";
import { measureWorkers } from "./workers.ts";

/** Those that fetch for themselves, and have all of PyPI's paths. */
const CACHES = new Set([larder, nginxPlain, nginxTuned, nginxDouble, varnish].map(({ name }) => name));

/** Those that the mixed load is sent through; nginx tuned would compress all of it anew. */
const MIXED = [larder, larderOverRedis, nginxPlain, nginxDouble, varnish];

const WHEEL_BYTES = 80_000_000;
const WHEEL_CLIENTS = 10;

async function main(): Promise<void> {
  const plan = readPlan(process.argv.slice(2), import.meta.dirname);
  const directory = mkdtempSync(join(tmpdir(), "larder-bench-"));
  try {
    const results = await measure(plan, directory);
    console.log(report(results));
    if (plan.outDirectory !== undefined) {
      mkdirSync(plan.outDirectory, { recursive: true });
      writeFileSync(join(plan.outDirectory, "results.json"), `${JSON.stringify(results, undefined, 2)}\n`);
      if (results.hits.length > 0) writeFileSync(join(plan.outDirectory, "results.svg"), plot(results));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(plan: Plan, directory: string): Promise<Results> {
  const begun = circumstances();
  keepOffServersCore();
  const origin = await startOrigin();
  await compileLarder({ origin: origin.url, directory: join(directory, "compiled") });
  const started = await startContestants(KINDS, plan.servers, origin, directory);
  const { contestants, leftOut } = started;
  const servers = contestants.map(({ server }) => server);
  const caches = servers.filter(({ name }) => CACHES.has(name));
  try {
    const hits = plan.parts.includes("hits") ? await measureHits(plan, contestants, origin, leftOut) : [];
    const stores = plan.parts.includes("stores") ? await measureStores(plan, started, origin, directory) : [];
    const workers = plan.parts.includes("workers") ? await tryWorkers(plan, origin, directory) : undefined;
    const afterHits = servers.map(({ pids }) => residentBytes(pids));
    const { cold, pauses } = await measureAllCold(plan, origin, caches, directory);
    const herds = plan.parts.includes("herd") ? await measureHerds(plan, origin, caches) : {};
    const memory = servers.map(
      ({ name, pids }, i) => [name, { afterHits: afterHits[i] ?? 0, atEnd: residentBytes(pids) }] as const,
    );
    const { startUpEntries, startUpTries } = plan;
    const startUp = plan.parts.includes("start")
      ? await measureStartUp(join(directory, "start-up"), startUpEntries, startUpTries)
      : undefined;
    await Promise.all(servers.map((server) => server.stop()));
    const mixed = plan.parts.includes("mixed")
      ? await measureMixed(plan.mixed, mixedKinds(plan), origin, join(directory, "mixed"), say)
      : {};
    const measured = {
      ...begun,
      isDirty: begun.isDirty || hasSourceChanged(begun.commit),
      rounds: plan.rounds,
      leftOut,
      hits,
      stores,
      workers,
      mixed,
      cold,
      pauses,
      herds,
      startUp,
      residentBytes: Object.fromEntries(memory),
    };
    return { ...measured, goals: judge(measured) };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await origin.stop();
  }
}

async function measureHits(
  plan: Plan,
  contestants: readonly Contestant[],
  origin: Origin,
  leftOut: Record<string, string>,
): Promise<HitRow[]> {
  const missing = missingCommand("wrk");
  if (missing !== undefined) {
    leftOut["all rows of hits"] = missing;
    return [];
  }
  const rows: HitRow[] = [];
  const wanted = hitRows(origin.files).filter(({ name }) => name.includes(plan.rows));
  const [first] = wanted;
  if (first !== undefined) await warmUp(first, contestants, origin.url, plan.rounds);
  for (const row of wanted) {
    say(row.name);
    rows.push(await measureRow(row, contestants, origin.url, plan.rounds));
  }
  return rows;
}

/** Larder from memory, from SQLite and from Redis. */
async function measureStores(
  plan: Plan,
  { contestants, leftOut }: Contestants,
  origin: Origin,
  directory: string,
): Promise<HitRow[]> {
  const row = hitRows(origin.files).find(({ name }) => name === "JSON 30 kB gzip");
  const missing = missingCommand("wrk");
  if (row === undefined || missing !== undefined) return [];
  say("stores");
  const kinds = [larderFromSqlite, larderFromRedis];
  const others = await startContestants(kinds, [], origin, join(directory, "stores"));
  Object.assign(leftOut, others.leftOut);
  try {
    const all = [...contestants.slice(0, 1), ...others.contestants];
    await warmUp(row, all, origin.url, plan.rounds);
    return [await measureRow(row, all, origin.url, plan.rounds)];
  } finally {
    await Promise.all(others.contestants.map(({ server }) => server.stop()));
  }
}

async function tryWorkers(plan: Plan, origin: Origin, directory: string): Promise<Results["workers"]> {
  const missing = missingCommand("wrk");
  if (missing !== undefined) return { skipped: missing };
  say("workers");
  try {
    return await measureWorkers(plan.rounds, origin, directory);
  } catch (error) {
    return { skipped: error instanceof Error ? error.message : String(error) };
  }
}

function mixedKinds({ servers }: Plan): typeof MIXED {
  return MIXED.filter(
    ({ name }) => name.startsWith("larder") || servers.length === 0 || servers.includes(name),
  );
}

async function measureAllCold(
  plan: Plan,
  origin: Origin,
  caches: readonly Server[],
  directory: string,
): Promise<{ cold: ColdRow[]; pauses: Pause[] }> {
  const cold: ColdRow[] = [];
  const pauses: Pause[] = [];
  if (!plan.parts.includes("cold")) return { cold, pauses };
  const own = join(directory, "watched");
  const watched = await startLarder({ origin: origin.url, directory: own }, { isWatched: true });
  const asItCame = await startLarderThatMovesNothing({
    origin: origin.url,
    directory: join(directory, "as-it-came"),
  });
  for (const size of plan.cold) {
    say(`cold ${size.name} ${size.coding}`);
    cold.push(await measureCold(size, origin, [...caches, asItCame]));
    pauses.push(await measurePause(size, watched));
  }
  await Promise.all([watched.stop(), asItCame.stop()]);
  return { cold, pauses };
}

async function measureHerds(
  plan: Plan,
  origin: Origin,
  caches: readonly Server[],
): Promise<Results["herds"]> {
  const documents: Results["herds"][string] = {};
  const wheels: Results["herds"][string] = {};
  for (const server of caches) {
    say(`herds: ${server.name}`);
    const path = `/pypi/30k-herd-${server.name.replace(" ", "")}/json`;
    Object.assign(documents, { [server.name]: await measureHerd(server, origin, path, plan.herdClients) });
    const wheel = await measureHerd(server, origin, origin.files.wheel, WHEEL_CLIENTS, WHEEL_BYTES);
    Object.assign(wheels, { [server.name]: wheel });
  }
  return {
    [`${plan.herdClients} on a cold document`]: documents,
    [`${WHEEL_CLIENTS} on a cold 80 MB wheel`]: wheels,
  };
}

function say(what: string): void {
  process.stderr.write(`[bench] ${what}\n`);
}

// Only an orderly exit ends the servers with it.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
await main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
