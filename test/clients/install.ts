import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import {
  CLIENTS,
  CLIENTS_FOLDER,
  type ClientName,
  type ClientSpec,
  installedMark,
  isForNode,
  isInstalled,
  markText,
  programOf,
} from "./catalogue.ts";

/** One of the catalogue. */
type Client = ClientSpec & { readonly name: ClientName };

// Installs the clients of the end-to-end tests from where this machine's pip and npm are told to look, each in an
// environment of its own under .cache/clients. What is there already is left alone; what was cut short is begun anew.

const AT_A_TIME = 2; // two cores
const LIMIT_MS = 300_000; // for each command; the slowest (poetry) takes a tenth of it
const PYTHON = process.env["PYTHON"] ?? "python3";

async function install(client: Client): Promise<void> {
  const folder = join(CLIENTS_FOLDER, client.name);
  rmSync(folder, { recursive: true, force: true });
  if (client.from === "npm") await installForNode(client, folder);
  else await installForPython(client, folder);
  await tryOut(client);
  writeFileSync(installedMark(client.name), markText(client));
}

/** One that does not start (an old pip on a new Python) is a failure here and now, not a riddle in a test. */
async function tryOut(client: Client): Promise<void> {
  const program = programOf(client.name);
  if (isForNode(client.name)) await run(client, process.execPath, program, "--version");
  else await run(client, program, "--version");
}

async function installForPython(client: ClientSpec, folder: string): Promise<void> {
  const bin = join(folder, "bin", "python");
  await run(client, PYTHON, "-m", "venv", folder);
  await run(
    client,
    bin,
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    ...client.packages,
  );
}

async function installForNode(client: ClientSpec, folder: string): Promise<void> {
  mkdirSync(folder);
  // A package.json of its own, or npm would take this project's.
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
  await run(client, "npm", "install", "--prefix", folder, ...quiet, ...client.packages);
}

/** Runs one command, all it says going to the client's log. @throws Error with the end of that log */
async function run(client: ClientSpec, program: string, ...args: readonly string[]): Promise<void> {
  const log = join(CLIENTS_FOLDER, `${client.name}.log`);
  const file = openSync(log, "a");
  const child = spawn(program, args, { stdio: ["ignore", file, file], timeout: LIMIT_MS });
  closeSync(file);
  const ended = await new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, signal) => resolve(String(signal ?? code)));
  });
  if (ended === "0") return;
  const tail = readFileSync(log, "utf8").trim().split("\n").slice(-8).join("\n");
  throw new Error(`${[program, ...args].join(" ")} ended with ${ended}\n${tail}`);
}

async function installOne(client: Client): Promise<boolean> {
  const startedAt = performance.now();
  const tell = (what: string) => {
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    process.stdout.write(`[clients] ${client.packages.join(" ")}: ${what} (${seconds} s)\n`);
  };
  if (isInstalled(client.name)) {
    tell("is there");
    return true;
  }
  try {
    await install(client);
    tell("installed");
    return true;
  } catch (error) {
    tell(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

async function main(): Promise<void> {
  mkdirSync(CLIENTS_FOLDER, { recursive: true });
  const waiting = [...CLIENTS];
  let failed = 0;
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (!(await installOne(next))) failed += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  if (failed === 0) return;
  process.stdout.write(`[clients] ${failed} failed; the same command tries them again\n`);
  process.exitCode = 1;
}

await main();
