import fc from "fast-check";
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** The files host of PyPI's documents. */
export const FILES_HOST = "https://files.pythonhosted.org";

/** A JSON object in which names may come twice, any name may come, and nothing is moved. */
export interface Members {
  readonly members: readonly (readonly [name: string, value: Node])[];
}
export type Node = string | number | boolean | null | readonly Node[] | Members;

/** Picks spellings: a fixed row of small numbers, over and over. */
export type Pick = (of: number) => number;

export const picker = (row: readonly number[]): Pick => {
  let at = 0;
  return (of) => (row[at++ % row.length] ?? 0) % of;
};

function spellChar(char: string, pick: Pick): string {
  const hex = char.charCodeAt(0).toString(16).padStart(4, "0");
  if (pick(8) === 1) return `\\u${pick(2) === 0 ? hex : hex.toUpperCase()}`;
  if (char === "/") return pick(3) === 1 ? "\\/" : "/";
  return JSON.stringify(char).slice(1, -1);
}

const spellString = (text: string, pick: Pick): string =>
  `"${text.split("").reduce((spelled, char) => spelled + spellChar(char, pick), "")}"`;

const spellSpace = (pick: Pick): string => ["", "", "", " ", "\n  ", "\r\n\t"][pick(6)]!;

/** A node as JSON in one of the many ways it may be written: escapes and white space are picked. */
export function spell(node: Node, pick: Pick): string {
  const space = () => spellSpace(pick);
  if (typeof node === "string") return spellString(node, pick);
  if (typeof node !== "object" || node === null) return JSON.stringify(node);
  if (!("members" in node)) {
    return `[${space()}${node.map((item) => spell(item, pick) + space()).join("," + space())}]`;
  }
  const members = node.members.map(
    ([name, value]) => `${spellString(name, pick)}${space()}:${space()}${spell(value, pick)}${space()}`,
  );
  return `{${space()}${members.join("," + space())}}`;
}

const PATH = "/packages/aa/bb/cc/pkg-1.0-py3-none-any.whl";

const urlText = fc.oneof(
  { weight: 4, arbitrary: fc.string().map((tail) => `${FILES_HOST}${PATH}${tail}`) },
  fc.constantFrom(
    FILES_HOST,
    `${FILES_HOST}/packages`,
    `${FILES_HOST}/packages/`,
    `${FILES_HOST}/simple/`,
    `${FILES_HOST}.evil.example${PATH}`,
    `${FILES_HOST.replace("https", "http")}${PATH}`,
    ` ${FILES_HOST}${PATH}`,
    `${FILES_HOST.toUpperCase()}${PATH}`,
    PATH,
    "",
  ),
);
export const text = fc.oneof(
  urlText,
  fc.string({ unit: "binary" }),
  fc.constantFrom('"url":', "\\", "\u0000\n"),
);
const leaf = fc.oneof(
  text,
  fc.boolean(),
  fc.constant(null),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);

const name = fc.oneof(
  fc.constantFrom(
    "info",
    "last_serial",
    "releases",
    "urls",
    "version",
    "url",
    "URL",
    "url ",
    "digests",
    "filename",
  ),
  fc.constantFrom("__proto__", "constructor", "2013", "1", "1.0", ""),
  fc.string(),
);
export const members = (value: fc.Arbitrary<Node>, names = name): fc.Arbitrary<Node> =>
  fc.array(fc.tuple(names, value), { maxLength: 4 }).map((list) => ({ members: list }));

/** Anything, full of names that mean something elsewhere. */
export const anything: fc.Arbitrary<Node> = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    members(tie("node")),
    fc.array(tie("node"), { maxLength: 3 }),
  ),
})).node;

const file = members(
  fc.oneof({ weight: 3, arbitrary: text }, anything),
  fc.oneof({ weight: 3, arbitrary: fc.constant("url") }, name),
);
const files = fc.array(fc.oneof({ weight: 4, arbitrary: file }, anything), { maxLength: 4 });
const serial = fc.oneof(fc.nat(), fc.constantFrom(0, -1, 1.5, 1e300, 2 ** 53, 2 ** 53 - 1, null, "7"));

const topMember: fc.Arbitrary<readonly [string, Node]> = fc.oneof(
  fc.tuple(fc.constant("urls"), files),
  fc.tuple(fc.constant("releases"), members(fc.oneof({ weight: 4, arbitrary: files }, anything))),
  fc.tuple(fc.constant("info"), members(fc.oneof(text, anything))),
  fc.tuple(fc.constant("last_serial"), serial),
  fc.tuple(name, anything),
);

/**
 * Documents of PyPI's shape and nearly so, with traps: urls where none count, names escaped, names twice, labels
 * such as `__proto__`, versions such as "2013", white space anywhere.
 */
export const pypiDocument: fc.Arbitrary<Buffer> = fc
  .tuple(fc.array(topMember, { maxLength: 6 }), fc.array(fc.nat(), { minLength: 1, maxLength: 40 }))
  .map(([list, row]) => Buffer.from(spell({ members: list }, picker(row))));

export type Tree = Record<string, unknown>;

export const isObject = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const own = (value: unknown, key: string): unknown =>
  isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;

export function parse(bytes: Buffer): Tree {
  return JSON.parse(bytes.toString()) as Tree;
}

/** The file entries of a parsed document that have a string `url`. */
export function filesOf(tree: Tree): { url: string }[] {
  const releases = own(tree, "releases");
  const lists: unknown[] = [own(tree, "urls"), ...(isObject(releases) ? Object.values(releases) : [])];
  return lists
    .filter((list) => Array.isArray(list))
    .flat()
    .filter((entry): entry is { url: string } => typeof own(entry, "url") === "string");
}

/** What a view of the document must say, found in its tree. */
export function expectedView(tree: Tree): { lastSerial: number | undefined; version: string | undefined } {
  const found = own(tree, "last_serial");
  const version = own(own(tree, "info"), "version");
  return {
    lastSerial: typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : undefined,
    version: typeof version === "string" ? version : undefined,
  };
}

/** The recorded documents of the JSON API. See `recordings`. */
export function corpus(): { name: string; bytes: Buffer }[] {
  return recordings("project-json", "release-json");
}

/** The recorded answers of PyPI beside the checkout, by name; none where they are not there. */
export function recordings(...kinds: readonly string[]): { name: string; bytes: Buffer }[] {
  return kinds
    .map((kind) => new URL(`../../../shared/corpus/${kind}/`, import.meta.url))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder).map((name) => ({
        name,
        bytes: readFileSync(new URL(encodeURIComponent(name), folder)),
      })),
    );
}
