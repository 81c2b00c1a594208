import { systemClock } from "./clock.ts";
import { compose } from "./compose/compose.ts";
import { composePrimary } from "./compose/primary.ts";
import { work } from "./compose/worker.ts";
import { readConfig } from "./config/config.ts";
import { AlreadyTold, ConfigError } from "./errors.ts";
import { linkToPrimary } from "./workers/primary-link.ts";

/**
 * Runs a larder until it is told to stop: all of it, the primary of several workers, or one of these. The only place
 * that reads the environment and ends the process.
 */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const primary = linkToPrimary(systemClock);
  const isPrimary = primary === undefined && config.workers > 1;
  const larder = isPrimary ? composePrimary(config) : compose(config, systemClock, undefined, primary);

  let stopping: Promise<void> | undefined;
  const stop = (lingers: boolean): void => {
    stopping ??= larder.close(lingers).then(() => process.exit(0), fail);
  };
  let signals = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      signals += 1;
      if (signals === 1) {
        stop(false);
        return;
      }
      // A second signal is from someone who does not want to wait.
      larder.kill?.();
      process.exit(130);
    });
  }
  process.on("SIGHUP", () => larder.roll());

  if (primary === undefined) await larder.listen();
  else await work(primary, () => larder.listen(), stop);
}

function fail(error: unknown): never {
  if (error instanceof ConfigError) {
    console.error(
      `larder cannot start with this configuration:\n${error.faults.map((fault) => `  ${fault}`).join("\n")}`,
    );
  } else if (!(error instanceof AlreadyTold)) {
    console.error("larder cannot go on:", error instanceof Error ? error.message : error);
  }
  process.exit(1);
}

main().catch(fail);
