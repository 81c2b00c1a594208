import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Contestant } from "./hits.ts";
import type { Origin } from "./origin.ts";
import { bare } from "./servers/bare.ts";
import { larder } from "./servers/larder.ts";
import { larderBehindNginx } from "./servers/larder-kinds.ts";
import type { ServerKind } from "./servers/launch.ts";
import { nginxDouble, nginxPlain, nginxTuned } from "./servers/nginx.ts";
import { devpi, proxpi } from "./servers/python.ts";
import { varnish } from "./servers/varnish.ts";

// Larder first: others are started with its address, and its rounds are what theirs are divided into.
export const KINDS: readonly ServerKind[] = [
  larder,
  bare,
  nginxPlain,
  nginxTuned,
  nginxDouble,
  varnish,
  proxpi,
  devpi,
  larderBehindNginx,
];

/** Servers that are up, and why others are not. */
export interface Contestants {
  readonly contestants: readonly Contestant[];
  readonly leftOut: Record<string, string>;
}

/** Starts the servers of some kinds. @param only names of those that are wanted beside larder; all where empty */
export async function startContestants(
  kinds: readonly ServerKind[],
  only: readonly string[],
  origin: Origin,
  directory: string,
): Promise<Contestants> {
  const contestants: Contestant[] = [];
  const leftOut: Record<string, string> = {};
  for (const kind of kinds) {
    const { name } = kind;
    const isWanted = kind === larder || only.length === 0 || only.includes(name);
    const missing = isWanted ? kind.missing() : "not asked for";
    if (missing !== undefined) {
      leftOut[name] = missing;
      continue;
    }
    const own = join(directory, name.replaceAll(/\W/g, "-"));
    mkdirSync(own, { recursive: true });
    const larderUrl = contestants[0]?.server.url ?? "";
    try {
      const server = await kind.start({ origin: origin.url, directory: own, larder: larderUrl });
      contestants.push({ server, kind });
    } catch (error) {
      // A peer that does not start here is no reason to measure nothing.
      if (kind === larder) throw error;
      leftOut[name] = error instanceof Error ? error.message : String(error);
    }
  }
  return { contestants, leftOut };
}
