import { once } from "node:events";
import type { ChildProcess } from "node:child_process";
import { fetchRaw } from "../test/support/client.ts";
import type { Origin } from "./origin.ts";
import type { Server } from "./servers/launch.ts";
import { type Spread, spreadOf } from "./statistics.ts";

/** How long the first request for a document takes, whole. */
export interface ColdRow {
  readonly row: string;
  readonly directMs: Spread;
  /** What each server adds to the direct way, try by try. */
  readonly addedMs: Readonly<Record<string, Spread>>;
  readonly totalMs: Readonly<Record<string, Spread>>;
}

/** A size, and how often it is asked for. */
export interface ColdSize {
  readonly shape: string;
  readonly name: string;
  readonly coding: "gzip" | "identity";
  readonly tries: number;
}

/** Asks for documents that nobody holds: straight from the origin, then through each server. */
export async function measureCold(
  size: ColdSize,
  origin: Origin,
  servers: readonly Server[],
): Promise<ColdRow> {
  const { shape, name, coding, tries } = size;
  const direct: number[] = [];
  const totals = new Map<string, number[]>(servers.map((server) => [server.name, []]));
  // As many before as are counted: they open connections, and have V8 compile what a miss needs.
  for (let i = -tries; i < tries; i++) {
    const path = `/pypi/${shape}-cold-${coding}-${i + tries}/json`;
    const directMs = await timed(origin.url, path, coding);
    if (i >= 0) direct.push(directMs);
    for (const server of servers) {
      const totalMs = await timed(server.url, path, coding);
      if (i >= 0) totals.get(server.name)?.push(totalMs);
    }
  }
  const each = (figure: (totalMs: number, i: number) => number): Record<string, Spread> =>
    Object.fromEntries([...totals].map(([server, taken]) => [server, spreadOf(taken.map(figure))]));
  return {
    row: `cold ${name} ${coding}`,
    directMs: spreadOf(direct),
    addedMs: each((totalMs, i) => totalMs - (direct[i] ?? NaN)),
    totalMs: each((totalMs) => totalMs),
  };
}

async function timed(base: string, path: string, coding: ColdSize["coding"]): Promise<number> {
  const startedAt = performance.now();
  const { status, body } = await fetchRaw(base, path, { headers: { "accept-encoding": coding } });
  const tookMs = performance.now() - startedAt;
  if (status !== 200 || body.length === 0) throw new Error(`${base}${path}: ${status}`);
  return tookMs;
}

/** How long larder's event loop was held at most, in CPU time of its thread. */
export interface Pause {
  readonly row: string;
  readonly longestMs: Spread;
}

/** @param watched a larder that was started to be watched */
export async function measurePause(
  { shape, name, coding, tries }: ColdSize,
  watched: Server,
): Promise<Pause> {
  const longest: number[] = [];
  for (let i = 0; i < tries; i++) {
    watched.child.send("start");
    await timed(watched.url, `/pypi/${shape}-pause-${coding}-${i}/json`, coding);
    longest.push(await stopWatch(watched.child));
  }
  return { row: `cold ${name} ${coding}`, longestMs: spreadOf(longest) };
}

async function stopWatch(child: ChildProcess): Promise<number> {
  const told = once(child, "message");
  child.send("stop");
  const [{ longestMs }] = (await told) as [{ longestMs: number }];
  return longestMs;
}
