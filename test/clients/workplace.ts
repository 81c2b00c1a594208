import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { seenOutside } from "./outside.ts";
import { type ClientName, isForNode, programOf } from "./catalogue.ts";

/** How a command ended. */
export interface Ran {
  readonly code: number | string;
  /** stdout and stderr, as they came. */
  readonly output: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Of another program in the client's environment. */
  readonly program?: string;
  /** Exit code that is wanted; 0 where not given. */
  readonly code?: number | "any";
}

/** A new folder to work in, with a home that has no configuration and no cache: nothing but larder can help. */
export interface Workplace {
  readonly folder: string;
  readonly path: (...names: readonly string[]) => string;
  readonly read: (...names: readonly string[]) => string;
  readonly write: (name: string, text: string) => void;
  /**
   * Runs a client here and waits for its end.
   *
   * @throws Error with all that it said, where it ends with another code than was wanted
   */
  readonly run: (client: ClientName, args: readonly string[], options?: RunOptions) => Promise<Ran>;
}

// Longer than any of them takes when all is well; a client that hangs must not hang the tests.
const LIMIT_MS = 90_000;

/** Makes one for the test that runs now, and takes it away after it. */
export function workplace(): Workplace {
  const folder = mkdtempSync(join(tmpdir(), "larder-client-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(folder, "home"));
  const path = (...names: readonly string[]) => join(folder, ...names);
  return {
    folder,
    path,
    read: (...names) => readFileSync(path(...names), "utf8"),
    write: (name, text) => {
      mkdirSync(dirname(path(name)), { recursive: true });
      writeFileSync(path(name), text);
    },
    run: async (client, args, options = {}) => {
      const program = programOf(client, options.program);
      const env = { ...cleanEnvironment(path("home"), dirname(program)), ...options.env };
      const ran = isForNode(client)
        ? await execute(process.execPath, [program, ...args], folder, env)
        : await execute(program, args, folder, env);
      const { code = 0 } = options;
      if (code === "any" || ran.code === code) return ran;
      throw new Error(`${client} ${args.join(" ")} ended with ${ran.code}\n${ran.output}`);
    },
  };
}

/** Nothing of the machine's own configuration: no index, no cache but those in the new home. */
function cleanEnvironment(home: string, bin: string): Record<string, string> {
  return {
    PATH: [bin, "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter),
    HOME: home,
    LANG: "C.UTF-8",
    NO_COLOR: "1",
    ...seenOutside(),
    PIP_CONFIG_FILE: "/dev/null",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    VIRTUALENV_NO_PERIODIC_UPDATE: "1", // or a process stays behind, which asks for a newer pip
    PYTHONDONTWRITEBYTECODE: "1",
    PYTHON_KEYRING_BACKEND: "keyring.backends.null.Keyring",
    UV_PYTHON: join(bin, "python"),
    UV_PYTHON_DOWNLOADS: "never",
    UV_LINK_MODE: "copy",
  };
}

async function execute(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout: LIMIT_MS });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | string>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve(status ?? signal ?? ""));
  });
  return { code, output };
}
