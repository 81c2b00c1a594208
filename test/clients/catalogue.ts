import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A client that the end-to-end tests drive, in an environment of its own. */
export interface ClientSpec {
  /** Also the name of its folder. */
  readonly name: string;
  /** What installs it: into a virtual environment, or into `node_modules`. pip where not given. */
  readonly from?: "pip" | "npm";
  /** What is installed; pinned, so that a red test means larder and not a client's new release. */
  readonly packages: readonly string[];
  /** The program in the environment's `bin`, or the script below `node_modules`. */
  readonly program: string;
}

/** Every client of issue 4; the versions are those that facts/clients.md was measured with. */
export const CLIENTS = [
  { name: "pip", packages: ["pip==26.3"], program: "pip" },
  { name: "pip-23", packages: ["pip==23.2.1"], program: "pip" },
  { name: "pip-22", packages: ["pip==22.3.1"], program: "pip" },
  { name: "pip-20", packages: ["pip==20.3.4"], program: "pip" },
  { name: "uv", packages: ["uv==0.13.9"], program: "uv" },
  { name: "poetry", packages: ["poetry==2.5.1", "poetry-plugin-pypi-mirror==0.6.5"], program: "poetry" },
  // Without `locked` it takes the newest hishel and unearth, and does not start (facts/clients.md §4).
  { name: "pdm", packages: ["pdm[locked]==2.29.3"], program: "pdm" },
  { name: "pipenv", packages: ["pipenv==2026.10.3"], program: "pipenv" },
  { name: "pip-tools", packages: ["pip-tools==7.6.2", "pip==26.3"], program: "pip-compile" },
  { name: "hatch", packages: ["hatch==1.18.2"], program: "hatch" },
  { name: "pip-audit", packages: ["pip-audit==2.10.1"], program: "pip-audit" },
  { name: "pypi-simple", packages: ["pypi-simple==1.8.0"], program: "python" },
  { name: "johnnydep", packages: ["johnnydep==2.1.1"], program: "johnnydep" },
  { name: "bandersnatch", packages: ["bandersnatch==6.8.0"], program: "bandersnatch" },
  { name: "renovate", from: "npm", packages: ["renovate@44.121.2"], program: "renovate/dist/renovate.js" },
] as const satisfies readonly ClientSpec[];

export type ClientName = (typeof CLIENTS)[number]["name"];

/** Where the environments are: git-ignored, and kept from run to run. */
export const CLIENTS_FOLDER = fileURLToPath(new URL("../../.cache/clients/", import.meta.url));

/** What installs them all; resumable. */
export const INSTALL_CLIENTS = "npm run clients";

/** The file that is written last: its text says which packages the environment has. */
export function installedMark(name: string): string {
  return join(CLIENTS_FOLDER, name, "installed");
}

/** What the mark of a finished environment says. */
export function markText({ packages }: ClientSpec): string {
  return `${packages.join(" ")}\n`;
}

/** Whether a client's environment is there, whole and of the pinned version. */
export function isInstalled(name: ClientName): boolean {
  const mark = installedMark(name);
  return existsSync(mark) && readFileSync(mark, "utf8") === markText(specOf(name));
}

/** The clients that are not installed. */
export function missingClients(): readonly ClientSpec[] {
  return CLIENTS.filter((client) => !isInstalled(client.name));
}

/** Path of a program in a client's environment, such as its `python`, or of a script for Node. */
export function programOf(name: ClientName, program?: string): string {
  const folder = isForNode(name) ? "node_modules" : "bin";
  return join(CLIENTS_FOLDER, name, folder, program ?? specOf(name).program);
}

/** Whether its program is a script for Node. */
export function isForNode(name: ClientName): boolean {
  return specOf(name).from === "npm";
}

function specOf(name: ClientName): ClientSpec {
  return CLIENTS.find((client) => client.name === name)!;
}
