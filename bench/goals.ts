import type { HitRow } from "./hits.ts";
import type { Results } from "./results.ts";
import { MOVES_NOTHING } from "./servers/larder-kinds.ts";

/** A goal of the bench, and what became of it in a run. */
export interface Verdict {
  readonly goal: string;
  /** What was found, in words; why not, where nothing was. */
  readonly figure: string;
  /** Undefined where the run did not measure it. */
  readonly isMet: boolean | undefined;
}

/** What goals look at. */
export type Measured = Omit<Results, "goals">;

const MIB = 2 ** 20;
/** Larder's own default, LARDER_MEMORY. */
const MEMORY_BUDGET_BYTES = 256 * MIB;
const BEYOND_BUDGET_BYTES = 120_000_000;

const PAGES = [
  "simple JSON gzip",
  "simple HTML gzip",
  "simple JSON gzip, 800 files",
  "simple HTML gzip, 800 files",
];
const HITS = ["JSON 3 kB gzip", "JSON 30 kB gzip", "JSON 1 MB gzip", "304", ...PAGES];

/** Holds a run against every goal, in their order. */
export function judge(results: Measured): readonly Verdict[] {
  const { hits } = results;
  const over = (goal: string, rows: readonly string[], server: string, most: number): Verdict =>
    judgeOver(goal, hits, rows, server, most);
  return [
    over("gzip hits and 304s: at most nginx plain", HITS, "nginx plain", 1),
    over("gzip hits and 304s: at most 1.3 x node:http", HITS, "node:http", 1.3),
    over("gzip hits and 304s: at least 2 x below nginx tuned", HITS, "nginx tuned", 1 / 2),
    over("index pages: at least 25 x below proxpi", PAGES, "proxpi", 1 / 25),
    over("index pages: at least 60 x below devpi", PAGES, "devpi", 1 / 60),
    over("negative hit: at most nginx plain", ["404 (negative hit)"], "nginx plain", 1),
    over("Range of 64 kB: at most nginx plain", ["Range 64 kB"], "nginx plain", 1),
    over("file of 4 kB: at most nginx plain", ["file 4 kB"], "nginx plain", 1),
    over("file of 10 MB: at most 3 x nginx plain", ["file 10 MB"], "nginx plain", 3),
    over("file of 30 MB, from larder's disk: at most 3 x nginx plain", ["file 30 MB"], "nginx plain", 3),
    judgeHandedOver(hits),
    judgeCold(results, "cold 3 kB: at most 1 ms over direct", ["cold 3 kB gzip"], () => 1),
    judgeCold(results, "cold 1 MB: at most 5 ms over direct", ["cold 1 MB gzip"], () => 5),
    judgeCold(results, "the same, URLs left", ["cold 1 MB gzip"], () => 5, MOVES_NOTHING),
    judgeCold(
      results,
      "cold 5 MB: at most 1.1 x direct + 20 ms",
      ["cold 5 MB gzip", "cold 5 MB identity"],
      (directMs) => 0.1 * directMs + 20,
    ),
    most(
      "no pause of the event loop over 20 ms",
      results.pauses.map(({ row, longestMs }) => [row, longestMs.max]),
      20,
      "ms",
    ),
    most(
      "followers' first byte at most 50 ms after the leader's",
      herdsOfLarder(results).map(([name, herd]) => [name, herd.lastBehindFirstMs]),
      50,
      "ms",
    ),
    most(
      "a herd asks upstream once",
      herdsOfLarder(results).map(([name, herd]) => [name, herd.upstreamRequests + herd.failed]),
      1,
      "GETs, failures",
    ),
    most(
      "memory after the mixed load: at most the budget + 120 MB",
      Object.entries(results.mixed).flatMap(([server, taken]): [string, number][] =>
        "skipped" in taken || !server.startsWith("larder") ? [] : [[server, taken.residentBytes / 1e6]],
      ),
      (MEMORY_BUDGET_BYTES + BEYOND_BUDGET_BYTES) / 1e6,
      "MB",
    ),
    judgeWorkers(results),
    most(
      "start with a full store: under 1 s",
      results.startUp === undefined ? [] : [["median", results.startUp.fullMs.median]],
      1000,
      "ms",
    ),
  ];
}

/** The worst row decides, by the median of the ratios of its rounds. */
function judgeOver(
  goal: string,
  hits: readonly HitRow[],
  rows: readonly string[],
  server: string,
  limit: number,
): Verdict {
  const ratios = hits.flatMap(({ row, servers }): [string, number][] => {
    const figures = servers[server];
    if (!rows.includes(row) || figures === undefined || "skipped" in figures) return [];
    return [[row, figures.larderOver.median]];
  });
  return most(goal, ratios, limit, "x");
}

/** There is no figure for it in the goals: it has to pay, though. */
function judgeHandedOver(hits: readonly HitRow[]): Verdict {
  const goal = "LARDER_ACCEL, 10 MB through nginx: at most larder alone";
  const figures = hits.find(({ row }) => row === "file 10 MB")?.servers["nginx+larder"];
  if (figures === undefined || "skipped" in figures) return notMeasured(goal);
  const ratio = 1 / figures.larderOver.median;
  return { goal, figure: `${number(ratio)} x larder's own`, isMet: ratio <= 1 };
}

function judgeCold(
  { cold }: Measured,
  goal: string,
  rows: readonly string[],
  limit: (directMs: number) => number,
  server = "larder",
): Verdict {
  const taken = cold.filter(({ row, addedMs }) => rows.includes(row) && addedMs[server] !== undefined);
  if (taken.length === 0) return notMeasured(goal);
  const judged = taken.map(({ row, directMs, addedMs }) => {
    const added = addedMs[server]?.median ?? NaN;
    const allowed = limit(directMs.median);
    return { text: `${row} +${number(added)} of ${number(allowed)} ms`, isMet: added <= allowed };
  });
  return {
    goal,
    figure: judged.map(({ text }) => text).join("; "),
    isMet: judged.every(({ isMet }) => isMet),
  };
}

/**
 * What was measured decides, where the load has cores of its own. Where it takes its part of those of two workers, requests
 * per second tell of the load as much as of larder: there those with a part of a core for each process decide, and where no
 * process can be bound to one, CPU per request does, as for all goals.
 */
function judgeWorkers({ workers, machine }: Measured): Verdict {
  const goal = "2 workers: at least 1.7 x 1";
  if (workers === undefined || "skipped" in workers) return notMeasured(goal);
  const isShared = machine.cores < 4;
  const judged = workers.map(({ row, ratio, cpuLimitedRatio, two, bounded }) => {
    const measured = `${row}: ${number(ratio.median)} x`;
    const shared =
      `, load on the same ${machine.cores} cores, server on ${number(two.coresBusy.median)}; ` +
      `${number(cpuLimitedRatio.median)} x by CPU per request`;
    if (isShared && !("skipped" in bounded)) {
      const median = bounded.ratio.median;
      return {
        text: `${row}: ${number(median)} x with ${bounded.share} of a core for each process`,
        isMet: median >= 1.7,
      };
    }
    const decides = isShared ? Math.max(ratio.median, cpuLimitedRatio.median) : ratio.median;
    return { text: isShared ? measured + shared : measured, isMet: decides >= 1.7 };
  });
  return {
    goal,
    figure: judged.map(({ text }) => text).join("; "),
    isMet: judged.every(({ isMet }) => isMet),
  };
}

function herdsOfLarder({ herds }: Measured) {
  return Object.entries(herds).flatMap(([name, servers]) =>
    servers["larder"] === undefined ? [] : [[name, servers["larder"]] as const],
  );
}

function most(
  goal: string,
  figures: readonly (readonly [string, number])[],
  limit: number,
  unit: string,
): Verdict {
  const [first, ...others] = figures;
  if (first === undefined) return notMeasured(goal);
  const [name, worst] = others.reduce((a, b) => (b[1] > a[1] ? b : a), first);
  return {
    goal,
    figure: `${number(worst)} ${unit} (${figures.length > 1 ? "worst: " : ""}${name})`,
    isMet: worst <= limit,
  };
}

function notMeasured(goal: string): Verdict {
  return { goal, figure: "not measured", isMet: undefined };
}

function number(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(2);
}
