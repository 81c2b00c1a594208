import type { Herd } from "./herd.ts";
import type { HitRow } from "./hits.ts";
import type { Results } from "./results.ts";
import type { Spread } from "./statistics.ts";
import type { Workers } from "./workers.ts";

/** The results as tables, for a terminal and for Markdown alike. */
export function report(results: Results): string {
  const { machine, versions, rounds, commit, isDirty, at } = results;
  const { rounds: count, seconds, connections } = rounds;
  const parts = [
    `larder ${commit}${isDirty ? " (src changed since)" : ""}, ${at}, ${machine.cores} × ${machine.cpu}, ` +
      `Linux ${machine.kernel}; ${Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", ")}`,
    `${count} rounds of ${seconds} s each, ${connections} connections, ` +
      (machine.isPinned ? "every server on the first core alone" : "servers not pinned to a core"),
    ...Object.entries(results.leftOut).map(([server, why]) => `left out: ${server} (${why})`),
    hitsTable(
      results.hits,
      "CPU of the server per request, µs: median [min-max]",
      ({ cpuMicros }) => `${figure(cpuMicros.median)} [${figure(cpuMicros.min)}-${figure(cpuMicros.max)}]`,
    ),
    hitsTable(
      results.hits,
      "larder's CPU per request over each server's, round by round: below 1 larder is cheaper",
      ({ larderOver }) => ratioSpread(larderOver),
    ),
    hitsTable(results.hits, "requests per second (median)", ({ requestsPerSecond }) =>
      Math.round(requestsPerSecond.median).toLocaleString("en"),
    ),
    hitsTable(
      results.stores,
      "larder's CPU per request by where the hit is read from, µs: median [min-max]; Redis's own is not in it",
      ({ cpuMicros }) => spread(cpuMicros),
    ),
    workersTable(results),
    mixedTable(results),
    coldTable(results),
    herdTable(results),
    memoryTable(results),
    startUpLine(results),
    goalsTable(results),
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

type Measured = Exclude<HitRow["servers"][string], { readonly skipped: string }>;

function hitsTable(rows: readonly HitRow[], title: string, cell: (figures: Measured) => string): string {
  const servers = Object.keys(rows[0]?.servers ?? {});
  const lines = rows.map(({ row, servers: taken }) => [
    row,
    ...servers.map((server) => {
      const figures = taken[server];
      if (figures === undefined) return "";
      return "skipped" in figures ? `(${figures.skipped})` : cell(figures);
    }),
  ]);
  return rows.length === 0 ? "" : `${title}\n\n${table(["", ...servers], lines)}`;
}

function coldTable({ cold, pauses }: Results): string {
  const [first] = cold;
  if (first === undefined) return "";
  const servers = Object.keys(first.addedMs);
  const lines = cold.map(({ row, directMs, addedMs }) => [
    row,
    spread(directMs),
    ...servers.map((server) => (addedMs[server] === undefined ? "" : spread(addedMs[server]))),
    ...pauses.filter((pause) => pause.row === row).map(({ longestMs }) => spread(longestMs)),
  ]);
  const head = ["ms", "direct", ...servers, "larder's longest pause"];
  return `cold misses: what each adds to the direct way, median [min-max]\n\n${table(head, lines)}`;
}

function herdTable({ herds }: Results): string {
  const head = ["", "upstream GETs", "first byte, ms", "last behind first, ms", "whole, ms", "failed"];
  const lines = Object.entries(herds).flatMap(([name, servers]) =>
    Object.entries(servers).map(([server, herd]) => [`${name}: ${server}`, ...herdCells(herd)]),
  );
  return lines.length === 0 ? "" : `herds\n\n${table(head, lines)}`;
}

function herdCells(herd: Herd): string[] {
  const { upstreamRequests, firstByteMs, lastBehindFirstMs, wholeMs, failed } = herd;
  return [
    String(upstreamRequests),
    spread(firstByteMs),
    figure(lastBehindFirstMs),
    spread(wholeMs),
    String(failed),
  ];
}

function memoryTable({ residentBytes }: Results): string {
  const lines = Object.entries(residentBytes).map(([server, { afterHits, atEnd }]) => [
    server,
    (afterHits / 1e6).toFixed(0),
    (atEnd / 1e6).toFixed(0),
  ]);
  return lines.length === 0
    ? ""
    : `resident memory, MB\n\n${table(["", "after the hits", "at the end"], lines)}`;
}

function startUpLine({ startUp }: Results): string {
  if (startUp === undefined) return "";
  const { entries, emptyMs, fullMs } = startUp;
  return (
    `start to first answer: ${spread(emptyMs)} ms with nothing held, ` +
    `${spread(fullMs)} ms with ${entries.toLocaleString("en")} entries`
  );
}

function workersTable({ workers }: Results): string {
  if (workers === undefined) return "";
  if ("skipped" in workers) return `left out: workers (${workers.skipped})`;
  const tables = workers.map((row) => workersRow(row));
  return `workers, on all cores together with the load: median [min-max]\n\n${tables.join("\n\n")}`;
}

function workersRow({ row, one, two, ratio: measured, cpuLimitedRatio, bounded }: Workers): string {
  const line = (name: string, { requestsPerSecond, cpuMicros, coresBusy }: typeof one): string[] => [
    name,
    spread(requestsPerSecond),
    spread(cpuMicros),
    spread(coresBusy),
  ];
  const head = [row, "requests per second", "CPU per request, µs", "cores that the server used"];
  return (
    `${table(head, [line("1 worker", one), line("2 workers", two)])}\n\n` +
    `2 workers over 1, round by round: ${ratioSpread(measured)} x measured; ` +
    `${ratioSpread(cpuLimitedRatio)} x by CPU per request, had they two cores for themselves\n${boundedLine(bounded)}`
  );
}

function boundedLine(bounded: Workers["bounded"]): string {
  if ("skipped" in bounded) return `with a part of a core for each process: left out (${bounded.skipped})`;
  const { share, oneRequestsPerSecond: one, twoRequestsPerSecond: two, ratio } = bounded;
  return (
    `with ${share} of a core for each process: ${spread(one)} and ${spread(two)} requests per second, ` +
    `${ratioSpread(ratio)} x`
  );
}

function mixedTable({ mixed }: Results): string {
  const [first] = Object.values(mixed).flatMap((taken) => ("skipped" in taken ? [] : [taken]));
  if (first === undefined) return "";
  const head = [
    "",
    "hits",
    "p50, ms",
    "p99, ms",
    "max, ms",
    "later half p50",
    "p99",
    "failed",
    "CPU, µs",
    "RSS, MB",
    "load left late, p99 ms",
  ];
  const lines = Object.entries(mixed).map(([server, taken]) =>
    "skipped" in taken
      ? [server, `(${taken.skipped})`]
      : [
          server,
          `${(100 * taken.hitRatio).toFixed(1)} %`,
          ...[taken.p50Ms, taken.p99Ms, taken.maxMs, taken.laterP50Ms, taken.laterP99Ms].map(figure),
          String(taken.failed),
          figure(taken.cpuMicros),
          (taken.residentBytes / 1e6).toFixed(0),
          `${figure(taken.lateP99Ms)}${taken.isHeld ? "" : " (the load did not hold the rate)"}`,
        ],
  );
  const { requests, perSecond } = first;
  return (
    `mixed load, ${requests.toLocaleString("en")} requests at ${perSecond.toLocaleString("en")}/s in an open loop, ` +
    `from an empty cache on, one run each\n\n${table(head, lines)}`
  );
}

function goalsTable({ goals }: Results): string {
  const lines = goals.map(({ goal, figure: found, isMet }) => [
    goal,
    isMet === undefined ? "-" : isMet ? "met" : "MISSED",
    found,
  ]);
  return `goals\n\n${table(["", "", "found"], lines)}`;
}

function ratioSpread({ median, min, max }: Spread): string {
  return `${ratio(median)} [${ratio(min)}-${ratio(max)}]`;
}

function ratio(value: number): string {
  return value < 0.095 ? value.toFixed(3) : value.toFixed(2);
}

function spread({ median, min, max }: Spread): string {
  return `${figure(median)} [${figure(min)}-${figure(max)}]`;
}

function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) =>
    Math.max(title.length, 3, ...lines.map((line) => line[i]?.length ?? 0)),
  );
  const render = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [render(head), rule, ...lines.map(render)].join("\n");
}
