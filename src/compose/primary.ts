import { isatty } from "node:tty";
import { type Clock, type Ms, systemClock } from "../clock.ts";
import { type Config, describeConfig } from "../config/config.ts";
import { AlreadyTold } from "../errors.ts";
import { answerFleet } from "../fleet/primary-fleet.ts";
import { createLog, type Log } from "../ops/log.ts";
import { createMetricsSum, type MetricsSum } from "../ops/metrics-sum.ts";
import { forker } from "../workers/fork.ts";
import { UP } from "../workers/ops.ts";
import { Pool, type PoolEvent } from "../workers/pool.ts";
import { Switchboard } from "../workers/switchboard.ts";
import type { Larder } from "./compose.ts";
import { limitsOf } from "./fleet.ts";
import { answerMetrics } from "./worker-metrics.ts";

const LONGEST_TIMER_MS: Ms = 2 ** 31 - 1;

/**
 * Builds the primary of several workers: it starts and replaces them, answers what they share, and no requests. To
 * `roll` is to replace them one by one, each once its successor takes requests.
 */
export function composePrimary(config: Config, clock: Clock = systemClock): Larder {
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    isTerminal: isatty(1),
    isShared: true,
  });
  log.info({ config: describeConfig(config) }, "starting");
  let port = config.port;
  const switchboard = new Switchboard(clock);
  const metrics = createMetricsSum(() => pool.up);
  const pool: Pool = new Pool({
    count: config.workers,
    fork: forker(switchboard, (listening) => (port = listening)),
    clock,
    drainMs: config.shutdownMs,
    onEvent: (event) => {
      tell(event, log, metrics);
      switchboard.broadcast(UP, { up: pool.up });
    },
  });
  answerMetrics(switchboard, metrics);
  answerFleet(switchboard, limitsOf(config), clock);
  let alive: NodeJS.Timeout | undefined;
  return {
    async listen() {
      const failed = await pool.start();
      if (failed?.code !== undefined) throw new AlreadyTold(`a worker ended with ${failed.code}`);
      if (failed?.reason !== undefined) throw new Error(`no worker can be started: ${failed.reason}`);
      if (failed !== undefined) throw new Error(`a worker was ended by ${failed.signal} before it listened`);
      // Nothing else keeps this process while there is no worker at all, and the next one is to be started in a moment.
      alive = setInterval(() => undefined, LONGEST_TIMER_MS);
      log.info(
        { host: config.host, port, workers: pool.up },
        `listening on http://${config.host}:${port} with ${pool.up} workers`,
      );
      return port;
    },
    async close() {
      await pool.close();
      clearInterval(alive);
      log.info("stopped");
      await log.written();
    },
    roll: () => pool.roll(),
    kill: () => pool.kill(),
  };
}

function tell(event: PoolEvent, log: Log, metrics: MetricsSum): void {
  const { kind, ...rest } = event;
  const { id: worker, pid: workerPid, ...more } = { id: undefined, pid: undefined, ...rest };
  const told = { worker, workerPid, ...more };
  switch (kind) {
    case "up":
      log.info(told, "a worker takes requests");
      return;
    case "lost":
      metrics.replaced("lost");
      log.error(told, "a worker was lost, and is replaced");
      return;
    case "drained":
      if (event.isReplaced) metrics.replaced("rolled");
      log.info(told, "a worker has ended");
      return;
    case "killed":
      log.error(told, "a worker did not start or stop in time, and is killed");
      return;
    case "rolling":
      log.info("workers are replaced one by one");
      return;
    case "rolled":
      log.info("workers have been replaced");
      return;
    case "roll-failed":
      log.error(told, "a new worker did not come up: the old ones go on");
      return;
  }
}
