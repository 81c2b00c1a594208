import { compose } from "./compose/compose.ts";
import { readConfig } from "./config/config.ts";
import { ConfigError } from "./errors.ts";

/** Runs a larder until it is told to stop. The only place that reads the environment and ends the process. */
async function main(): Promise<void> {
  const larder = compose(readConfig(process.env));
  let stopping: Promise<void> | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      // A second signal is from someone who does not want to wait.
      if (stopping !== undefined) process.exit(130);
      stopping = larder.close().then(() => process.exit(0), fail);
    });
  }
  await larder.listen();
}

function fail(error: unknown): never {
  if (error instanceof ConfigError) {
    console.error(
      `larder cannot start with this configuration:\n${error.faults.map((fault) => `  ${fault}`).join("\n")}`,
    );
  } else {
    console.error("larder cannot go on:", error instanceof Error ? error.message : error);
  }
  process.exit(1);
}

main().catch(fail);
