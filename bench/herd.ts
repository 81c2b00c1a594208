import { request } from "node:http";
import type { Origin } from "./origin.ts";
import type { Server } from "./servers/launch.ts";
import { type Spread, spreadOf } from "./statistics.ts";

/** What became of many clients that wanted the same thing at once, when nobody had it. */
export interface Herd {
  readonly clients: number;
  readonly upstreamRequests: number;
  /** First byte of each client, from the common start. */
  readonly firstByteMs: Spread;
  /** How much later than the first client's the last client's first byte came. */
  readonly lastBehindFirstMs: number;
  readonly wholeMs: Spread;
  /** Clients that got something else than all of it. */
  readonly failed: number;
}

interface Outcome {
  readonly firstByteMs: number;
  readonly wholeMs: number;
  readonly bytes: number;
}

/** Sends a herd after one path. @param bytes what each must get; undefined for what the first one got */
export async function measureHerd(
  server: Server,
  origin: Origin,
  path: string,
  clients: number,
  bytes?: number,
): Promise<Herd> {
  const before = await origin.count(path);
  const startedAt = performance.now();
  const outcomes = await Promise.all(
    Array.from({ length: clients }, () => follow(`${server.url}${path}`, startedAt)),
  );
  const expected = bytes ?? outcomes[0]?.bytes;
  const firstByteMs = spreadOf(outcomes.map((outcome) => outcome.firstByteMs));
  return {
    clients,
    upstreamRequests: (await origin.count(path)) - before,
    firstByteMs,
    lastBehindFirstMs: firstByteMs.max - firstByteMs.min,
    wholeMs: spreadOf(outcomes.map(({ wholeMs }) => wholeMs)),
    failed: outcomes.filter((outcome) => outcome.bytes !== expected || outcome.bytes === 0).length,
  };
}

function follow(url: string, startedAt: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent: false, headers: { "accept-encoding": "gzip" } }, (incoming) => {
      let firstByteMs = NaN;
      let bytes = 0;
      incoming.on("data", (piece: Buffer) => {
        if (bytes === 0) firstByteMs = performance.now() - startedAt;
        bytes += piece.length;
      });
      const done = (isWhole: boolean): void =>
        resolve({
          firstByteMs,
          wholeMs: performance.now() - startedAt,
          bytes: isWhole && incoming.statusCode === 200 ? bytes : 0,
        });
      incoming.once("end", () => done(true));
      incoming.once("error", () => done(false)); // counted as failed
    });
    outgoing.once("error", reject);
    outgoing.end();
  });
}
