import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ColdRow, measureCold, measurePause, type Pause } from "./cold.ts";
import { residentBytes } from "./cpu.ts";
import { measureHerd } from "./herd.ts";
import { type Contestant, type HitRow, measureRow, warmUp } from "./hits.ts";
import { type Origin, startOrigin } from "./origin.ts";
import { type Plan, readPlan } from "./plan.ts";
import { plot } from "./plot.ts";
import { report } from "./report.ts";
import { circumstances, hasSourceChanged, type Results } from "./results.ts";
import { hitRows } from "./rows.ts";
import { bare } from "./servers/bare.ts";
import { larder, startLarder } from "./servers/larder.ts";
import { missingCommand, type Server, type ServerKind } from "./servers/launch.ts";
import { nginxDouble, nginxPlain, nginxTuned } from "./servers/nginx.ts";
import { devpi, proxpi } from "./servers/python.ts";
import { varnish } from "./servers/varnish.ts";
import { measureStartUp } from "./start-up.ts";

// Larder first: others are started with its address, and its rounds are what theirs are divided into.
const KINDS: readonly ServerKind[] = [
  larder,
  bare,
  nginxPlain,
  nginxTuned,
  nginxDouble,
  varnish,
  proxpi,
  devpi,
];

/** Those that fetch for themselves, and have all of PyPI's paths. */
const CACHES = new Set([larder, nginxPlain, nginxTuned, nginxDouble, varnish].map(({ name }) => name));

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
  const origin = await startOrigin();
  const { contestants, leftOut } = await startAll(plan, origin, directory);
  const servers = contestants.map(({ server }) => server);
  const caches = servers.filter(({ name }) => CACHES.has(name));
  try {
    const hits = plan.parts.includes("hits") ? await measureHits(plan, contestants, origin, leftOut) : [];
    const afterHits = servers.map(({ pid }) => residentBytes(pid));
    const { cold, pauses } = await measureAllCold(plan, origin, caches, directory);
    const herds = plan.parts.includes("herd") ? await measureHerds(plan, origin, caches) : {};
    const memory = servers.map(
      ({ name, pid }, i) => [name, { afterHits: afterHits[i] ?? 0, atEnd: residentBytes(pid) }] as const,
    );
    const { startUpEntries, startUpTries } = plan;
    const startUp = plan.parts.includes("start")
      ? await measureStartUp(join(directory, "start-up"), startUpEntries, startUpTries)
      : undefined;
    return {
      ...begun,
      isDirty: begun.isDirty || hasSourceChanged(begun.commit),
      rounds: plan.rounds,
      leftOut,
      hits,
      cold,
      pauses,
      herds,
      startUp,
      residentBytes: Object.fromEntries(memory),
    };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await origin.stop();
  }
}

interface Started {
  readonly contestants: readonly Contestant[];
  readonly leftOut: Record<string, string>;
}

async function startAll(plan: Plan, origin: Origin, directory: string): Promise<Started> {
  const contestants: Contestant[] = [];
  const leftOut: Record<string, string> = {};
  for (const kind of KINDS) {
    const { name, rewrites } = kind;
    const isWanted = name === "larder" || plan.servers.length === 0 || plan.servers.includes(name);
    const missing = isWanted ? kind.missing() : "not asked for";
    if (missing !== undefined) {
      leftOut[name] = missing;
      continue;
    }
    const own = join(directory, name.replaceAll(/\W/g, "-"));
    mkdirSync(own);
    const larderUrl = contestants[0]?.server.url ?? "";
    try {
      const server = await kind.start({ origin: origin.url, directory: own, larder: larderUrl });
      contestants.push({ server, rewrites });
    } catch (error) {
      // A peer that does not start here is no reason to measure nothing.
      if (name === "larder") throw error;
      leftOut[name] = error instanceof Error ? error.message : String(error);
    }
  }
  return { contestants, leftOut };
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
  for (const size of plan.cold) {
    say(`cold ${size.name} ${size.coding}`);
    cold.push(await measureCold(size, origin, caches));
    pauses.push(await measurePause(size, watched));
  }
  await watched.stop();
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
