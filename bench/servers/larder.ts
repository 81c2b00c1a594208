import { join } from "node:path";
import { fileURLToPath } from "node:url";
import packageJson from "../../package.json" with { type: "json" };
import { freePort } from "../../test/support/free-port.ts";
import { launch, type Scene, type Server, type ServerKind } from "./launch.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const WATCH = fileURLToPath(new URL("loop-watch-main.ts", import.meta.url));

/** What larder is started with beside its defaults: nothing goes stale while it is measured, here as elsewhere. */
const LIFETIMES = { LARDER_FRESH: "24h", LARDER_OWN_CHECK: "24h", LARDER_NEGATIVE: "1m" };

/** No other server here spares upstream; a bound on requests a second would be all that cold rows show. */
const UNBOUNDED = { LARDER_UPSTREAM_RATE: "unlimited" };

/** `npm start`: environment, `node`, its flags, `src/main.ts`. */
const START = packageJson.scripts.start.split(" ");
const NODE_AT = START.indexOf("node");
const NODE_FLAGS = START.slice(NODE_AT + 1, -1);
const NODE_ENVIRONMENT: Readonly<Record<string, string>> = Object.fromEntries(
  START.slice(0, NODE_AT).map((setting): [string, string] => {
    const [name = "", ...value] = setting.split("=");
    return [name, value.join("=")];
  }),
);

/** Where Node keeps what it compiled: beside the sources, as for who runs `npm start`, not in each larder's directory. */
const COMPILED = {
  NODE_COMPILE_CACHE: join(import.meta.dirname, "../..", NODE_ENVIRONMENT["NODE_COMPILE_CACHE"] ?? ""),
};

/** How a larder is started. */
export interface LarderOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Whether its event loop can be watched (loop-watch-main.ts). */
  readonly isWatched?: boolean;
  readonly isOnAllCores?: boolean;
  /** What the tables call it. */
  readonly name?: string;
}

/** Starts larder as `npm start` does, with its JSON log, in `directory`/data. */
export async function startLarder(
  { origin, directory }: Pick<Scene, "origin" | "directory">,
  { env, isWatched = false, isOnAllCores = false, name = "larder" }: LarderOptions = {},
): Promise<Server> {
  const port = await freePort();
  return await launch({
    name,
    command: [process.execPath, ...NODE_FLAGS, ...(isWatched ? ["--import", WATCH] : []), MAIN],
    port,
    directory,
    ipc: isWatched,
    isOnAllCores,
    env: {
      PORT: String(port),
      HOST: "127.0.0.1",
      LARDER_UPSTREAM: origin,
      LARDER_FILES_UPSTREAM: origin,
      LARDER_DATA: `${directory}/data`,
      LARDER_LOG_FORMAT: "json",
      ...NODE_ENVIRONMENT,
      ...COMPILED,
      ...LIFETIMES,
      ...UNBOUNDED,
      ...env,
    },
  });
}

/** Lets Node keep what it compiles of larder: it writes that when a process ends, and only the next one has it. */
export async function compileLarder(scene: Pick<Scene, "origin" | "directory">): Promise<void> {
  const first = await startLarder(scene);
  await first.stop();
}

/** The one that is measured. */
export const larder: ServerKind = {
  name: "larder",
  rewrites: true,
  missing: () => undefined,
  start: (scene) => startLarder(scene),
};
