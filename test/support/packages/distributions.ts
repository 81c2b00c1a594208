import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Member, tarGz, zip } from "./archives.ts";

/** What a wheel and an sdist of one release are made of. */
export interface Distribution {
  /** As displayed: `Name` of the metadata. */
  readonly name: string;
  readonly version: string;
  /** What the filenames begin with, where PyPI took them before PEP 625: `Demo_2`. */
  readonly stem?: string;
  /** PEP 508. */
  readonly requires?: readonly string[];
  /** Extra -> what it requires. */
  readonly extras?: Readonly<Record<string, readonly string[]>>;
  readonly requiresPython?: string;
  /** Command -> `module:function`. Every module has `main`, which prints name and version. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Bytes that no compression makes smaller, in the wheel, to give it weight. */
  readonly ballastBytes?: number;
}

const BACKEND = readFileSync(new URL("backend.py", import.meta.url));

const WHEEL = Buffer.from(
  "Wheel-Version: 1.0\nGenerator: larder-tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
);

const PYPROJECT = Buffer.from(
  ["[build-system]", "requires = []", 'build-backend = "backend"', 'backend-path = ["."]', ""].join("\n"),
);

/** PEP 625 and the wheel specification: normalized, with `_`. */
function fileStem({ name, version, stem }: Distribution): string {
  return `${stem ?? moduleOf(name)}-${version}`;
}

/** The one module that a distribution has. */
export function moduleOf(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, "_");
}

export function wheelFilename(distribution: Distribution): string {
  return `${fileStem(distribution)}-py3-none-any.whl`;
}

export function sdistFilename(distribution: Distribution): string {
  return `${fileStem(distribution)}.tar.gz`;
}

/** The `requires_dist` of a release, its extras included. */
export function requiresDist({ requires = [], extras = {} }: Distribution): string[] {
  const optional = Object.entries(extras).flatMap(([extra, needed]) =>
    needed.map((requirement) => `${requirement} ; extra == '${extra}'`),
  );
  return [...requires, ...optional];
}

/** The core metadata: `METADATA` of the wheel, `PKG-INFO` of the sdist, and what `.metadata` beside the wheel holds. */
export function coreMetadata(distribution: Distribution): Buffer {
  const { name, version, extras = {}, requiresPython } = distribution;
  const lines = [
    "Metadata-Version: 2.1",
    `Name: ${name}`,
    `Version: ${version}`,
    "Summary: A package of the tests; Grüße, 世界",
    ...(requiresPython === undefined ? [] : [`Requires-Python: ${requiresPython}`]),
    ...requiresDist(distribution).map((requirement) => `Requires-Dist: ${requirement}`),
    ...Object.keys(extras).map((extra) => `Provides-Extra: ${extra}`),
    "",
    `# ${name}`,
    "",
  ];
  return Buffer.from(lines.join("\n"), "utf8");
}

/** A wheel that any installer takes. */
export function buildWheel(distribution: Distribution): Buffer {
  const info = `${fileStem(distribution)}.dist-info`;
  const members: Member[] = [
    ...sources(distribution),
    { name: `${info}/METADATA`, bytes: coreMetadata(distribution) },
    { name: `${info}/WHEEL`, bytes: WHEEL },
  ];
  const { scripts } = distribution;
  if (scripts !== undefined) {
    const lines = Object.entries(scripts).map(([command, target]) => `${command} = ${target}`);
    const bytes = Buffer.from(["[console_scripts]", ...lines, ""].join("\n"));
    members.push({ name: `${info}/entry_points.txt`, bytes });
  }
  return zip([...members, { name: `${info}/RECORD`, bytes: recordOf(members, info) }]);
}

/** An sdist that builds without network: its backend is in it, and requires nothing. */
export function buildSdist(distribution: Distribution): Buffer {
  const root = fileStem(distribution);
  const members: Member[] = [
    { name: "PKG-INFO", bytes: coreMetadata(distribution) },
    { name: "pyproject.toml", bytes: PYPROJECT },
    { name: "backend.py", bytes: BACKEND },
    { name: "WHEEL", bytes: WHEEL },
    ...sources(distribution).map(({ name, bytes }) => ({ name: `src/${name}`, bytes })),
  ];
  return tarGz(members.map(({ name, bytes }) => ({ name: `${root}/${name}`, bytes })));
}

function sources(distribution: Distribution): Member[] {
  const { name, version, ballastBytes = 0 } = distribution;
  const folder = moduleOf(name);
  const code = `__version__ = "${version}"\n\n\ndef main():\n    print("${name}", __version__)\n`;
  const module = { name: `${folder}/__init__.py`, bytes: Buffer.from(code) };
  if (ballastBytes === 0) return [module];
  return [module, { name: `${folder}/ballast.bin`, bytes: noise(`${name}-${version}`, ballastBytes) }];
}

/** Bytes that look random and depend on nothing but their seed. */
function noise(seed: string, length: number): Buffer {
  return createHash("shake128", { outputLength: length }).update(seed).digest();
}

function recordOf(members: readonly Member[], info: string): Buffer {
  const lines = members.map(({ name, bytes }) => {
    const digest = createHash("sha256").update(bytes).digest("base64url");
    return `${name},sha256=${digest},${bytes.length}`;
  });
  return Buffer.from([...lines, `${info}/RECORD,,`, ""].join("\n"));
}
