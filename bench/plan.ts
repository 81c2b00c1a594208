import { parseArgs } from "node:util";
import type { ColdSize } from "./cold.ts";
import type { Rounds } from "./hits.ts";
import type { MixedPlan } from "./mixed.ts";

/** What a run does. */
export interface Plan {
  readonly rounds: Rounds;
  readonly cold: readonly ColdSize[];
  readonly herdClients: number;
  readonly startUpEntries: number;
  readonly startUpTries: number;
  readonly mixed: MixedPlan;
  /** Only rows whose name has this in it. */
  readonly rows: string;
  /** Which parts, of ALL_PARTS. */
  readonly parts: readonly string[];
  /** Only these servers; all where empty. */
  readonly servers: readonly string[];
  /** Where results.json and results.svg go; undefined writes none. */
  readonly outDirectory: string | undefined;
}

const ALL_PARTS = "hits,stores,workers,cold,herd,start,mixed";

/** Reads the command line of `npm run bench`. @throws TypeError on an option that there is not */
export function readPlan(args: readonly string[], defaultOut: string): Plan {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      seconds: { type: "string" },
      rows: { type: "string", default: "" },
      parts: { type: "string", default: ALL_PARTS },
      servers: { type: "string", default: "" },
      out: { type: "string" },
    },
  });
  const { quick } = values;
  const isPart = quick || values.rows !== "" || values.servers !== "" || values.parts !== ALL_PARTS;
  return {
    rounds: {
      rounds: Number(values.rounds ?? (quick ? 1 : 5)),
      seconds: Number(values.seconds ?? (quick ? 0.2 : 1.2)),
      warmUpSeconds: quick ? 0.1 : 0.5,
      connections: 16,
    },
    cold: coldSizes(quick),
    herdClients: 200,
    startUpEntries: quick ? 5_000 : 100_000,
    startUpTries: quick ? 1 : 5,
    mixed: { projects: 10_000, perSecond: quick ? 200 : 500, seconds: quick ? 5 : 60 },
    rows: values.rows,
    parts: values.parts.split(","),
    servers: values.servers === "" ? [] : values.servers.split(","),
    // What was measured in part or in haste does not replace what was measured well.
    outDirectory: values.out ?? (isPart ? undefined : defaultOut),
  };
}

function coldSizes(isQuick: boolean): readonly ColdSize[] {
  const tries = (many: number): number => (isQuick ? 1 : many);
  return [
    { shape: "3k", name: "3 kB", coding: "gzip", tries: tries(300) },
    { shape: "1m", name: "1 MB", coding: "gzip", tries: tries(40) },
    { shape: "5m", name: "5 MB", coding: "gzip", tries: tries(15) },
    { shape: "5m", name: "5 MB", coding: "identity", tries: tries(15) },
    { shape: "30m", name: "30 MB", coding: "gzip", tries: tries(5) },
  ];
}
