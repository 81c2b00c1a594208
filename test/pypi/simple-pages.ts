import fc from "fast-check";
import {
  anything,
  isObject,
  members,
  own,
  parse,
  picker,
  spell,
  text,
  FILES_HOST,
  type Node,
  type Pick,
  type Tree,
} from "./json-documents.ts";

/** The index host of PyPI's pages. */
export const INDEX_HOST = "https://pypi.org";

const name = fc.constantFrom(
  "files",
  "meta",
  "_last-serial",
  "url",
  "provenance",
  "filename",
  "versions",
  "x",
);
const link = fc.oneof(
  { weight: 3, arbitrary: text },
  fc.string().map((tail) => `${INDEX_HOST}/integrity/${tail}`),
  fc.constantFrom(INDEX_HOST, `${INDEX_HOST}/integrity`, `${INDEX_HOST}.evil.example/integrity/x`, null),
);
const file = members(
  fc.oneof({ weight: 5, arbitrary: link }, anything),
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom("url", "provenance") }, name),
);
const files = fc.array(fc.oneof({ weight: 4, arbitrary: file }, anything), { maxLength: 4 });
const serial = fc.oneof(fc.nat(), fc.constantFrom(-1, 1.5, 2 ** 53, 2 ** 53 - 1, null, "7"));
const meta = members(
  fc.oneof(serial, anything),
  fc.oneof({ weight: 2, arbitrary: fc.constant("_last-serial") }, name),
);
const topMember: fc.Arbitrary<readonly [string, Node]> = fc.oneof(
  fc.tuple(fc.constant("files"), fc.oneof({ weight: 4, arbitrary: files }, anything)),
  fc.tuple(fc.constant("meta"), fc.oneof({ weight: 4, arbitrary: meta }, anything)),
  fc.tuple(name, anything),
);

/** Pages of the Simple API in JSON and nearly so, with traps. See `pypiDocument`. */
export const simpleJsonPage: fc.Arbitrary<Buffer> = fc
  .tuple(fc.array(topMember, { maxLength: 6 }), fc.array(fc.nat(), { minLength: 1, maxLength: 40 }))
  .map(([list, row]) => Buffer.from(spell({ members: list }, picker(row))));

/** The file entries of a parsed page. */
export function entriesOf(tree: Tree): Tree[] {
  const list = own(tree, "files");
  return Array.isArray(list) ? list.filter(isObject) : [];
}

/** What a view of the page must say, found in its tree. */
export function expectedSimpleView(bytes: Buffer): { lastSerial: number | undefined; hasFiles: boolean } {
  const tree = parse(bytes);
  const found = own(own(tree, "meta"), "_last-serial");
  return {
    lastSerial: typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : undefined,
    hasFiles: Array.isArray(own(tree, "files")),
  };
}

/** How a browser reads the references that the pages here are made with. */
export function decodeHtml(value: string): string {
  const names: Readonly<Record<string, string>> = {
    amp: "&",
    quot: '"',
    lt: "<",
    gt: ">",
    colon: ":",
    sol: "/",
  };
  return value.replace(/&(?:#(\d+)|#[xX]([0-9a-fA-F]+)|([a-z]+));/g, (whole, decimal, hex, known: string) =>
    decimal !== undefined
      ? String.fromCodePoint(Number(decimal))
      : hex !== undefined
        ? String.fromCodePoint(Number.parseInt(String(hex), 16))
        : (names[known] ?? whole),
  );
}

function spellHtmlChar(char: string, pick: Pick): string {
  const code = char.codePointAt(0)!;
  const spellings = [`&#${code};`, `&#x${code.toString(16)};`, `&#X${code.toString(16).toUpperCase()};`];
  const named: Readonly<Record<string, string>> = { ":": "&colon;", "/": "&sol;", "&": "&amp;" };
  if (/[&"'<>`=\s]/.test(char) || pick(12) === 1) return named[char] ?? spellings[pick(3)]!;
  return char;
}

const spellCase = (word: string, pick: Pick): string => (pick(3) === 1 ? word.toUpperCase() : word);
const space = (pick: Pick): string => ["", "", " ", "\n\t"][pick(4)]!;
const someSpace = (pick: Pick): string => [" ", " ", "\n  ", "\t", "\r\n"][pick(5)]!;

type Attribute = readonly [name: string, value: string | undefined];

function spellAttribute([attribute, value]: Attribute, pick: Pick): string {
  const key = someSpace(pick) + spellCase(attribute, pick);
  if (value === undefined) return key;
  const written = Array.from(value)
    .map((char) => spellHtmlChar(char, pick))
    .join("");
  const quote = ['"', '"', "'", ""][pick(4)]!;
  const quoted = quote === "" && written === "" ? '""' : quote + written + quote;
  return `${key}${space(pick)}=${space(pick)}${quoted}`;
}

const url = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.string({ maxLength: 8 }).map((tail) => `${FILES_HOST}/packages/aa/${tail}#sha256=ab`),
  },
  fc.string({ maxLength: 8 }).map((tail) => `${INDEX_HOST}/integrity/p/1/${tail}/provenance`),
  fc.constantFrom(
    FILES_HOST,
    `${FILES_HOST}/packages`,
    `${FILES_HOST}/simple/`,
    `${FILES_HOST}.evil.example/packages/x`,
    `${INDEX_HOST}/simple/x/`,
    "../../packages/aa/x.zip",
    "/packages/x.whl",
    "?a=b&amp;c",
    "",
  ),
  fc.string({ maxLength: 12 }),
);
const attribute: fc.Arbitrary<Attribute> = fc.tuple(
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom("href", "data-provenance") },
    fc.constantFrom("data-href", "hrefs", "rel", "data-requires-python", "data-yanked", "class", "name"),
  ),
  fc.option(url, { nil: undefined, freq: 8 }),
);
const words = fc.stringMatching(/^[^<]{0,12}$/);
const tag = fc.constantFrom("a", "a", "a", "a", "abbr", "link", "area", "meta", "br", "p", "h1");

type Spell = (pick: Pick) => string;
const element: fc.Arbitrary<Spell> = fc
  .tuple(tag, fc.array(attribute, { maxLength: 4 }), words)
  .map(([kind, attributes, inner]) => (pick) => {
    const spelled = attributes.map((each) => spellAttribute(each, pick)).join("");
    const end = pick(4) === 1 && !/[^\s"']$/.test(spelled) ? " /" : "";
    return `<${spellCase(kind, pick)}${spelled}${space(pick)}${end}>${inner}</${spellCase(kind, pick)}${space(pick)}>`;
  });
const hidden: fc.Arbitrary<Spell> = fc
  .tuple(element, fc.constantFrom("comment", "comment", "script", "style", "title", "textarea", "end tag"))
  .map(([within, how]) => (pick) => {
    const inner = within(pick);
    if (how === "comment") return `<!--${inner.replaceAll("--", "")} -->`;
    if (how === "end tag") return `</a href="${FILES_HOST}/packages/x">`;
    return `<${spellCase(how, pick)} type=x>${inner}</${spellCase(how, pick)}>`;
  });
const odds: fc.Arbitrary<Spell> = fc
  .oneof(
    words,
    fc.constantFrom("a < b", "<>", "</>", "<3", "<?x a='>", "<!doctype html>", "<!x>", "&lt;a href=x&gt;"),
  )
  .map((odd) => () => odd);

/** Pages of links, written in the many ways that HTML may be, with traps: links where none count. */
export const simpleHtmlPage: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.array(fc.oneof({ weight: 3, arbitrary: element }, hidden, odds), { maxLength: 8 }),
    fc.array(fc.nat(), { minLength: 1, maxLength: 40 }),
  )
  .map(([parts, row]) => {
    const pick = picker(row);
    return Buffer.from(`${parts.map((part) => part(pick)).join("")}\n<!--SERIAL 7-->`);
  });

const PIECE = new RegExp(
  "<!--[^]*?-->|<[!?][^>]*>|</[^>]*>" +
    "|<(?<raw>script|style|title|textarea)\\b[^>]*>[^]*?</\\k<raw>\\s*>" +
    "|<(?<tag>[a-z][^\\s/>]*)(?<attributes>(?:\"[^\"]*\"|'[^']*'|[^\"'>])*)>",
  "gid",
);
const ATTRIBUTE =
  /(?<name>[^\s"'>/=]+)(?:\s*=\s*(?:"(?<double>[^"]*)"|'(?<single>[^']*)'|(?<bare>[^\s"'>]+)))?/dg;

/** Where the links of a page's anchors stand, found by regular expressions. Right for pages from here and PyPI's. */
export function linkSpans(bytes: Buffer): [start: number, end: number][] {
  const spans: [number, number][] = [];
  for (const piece of bytes.toString("latin1").matchAll(PIECE)) {
    if (piece.groups!["tag"]?.toLowerCase() !== "a") continue;
    const [offset] = piece.indices!.groups!["attributes"]!;
    for (const found of piece.groups!["attributes"]!.matchAll(ATTRIBUTE)) {
      if (!["href", "data-provenance"].includes(found.groups!["name"]!.toLowerCase())) continue;
      const { double, single, bare } = found.indices!.groups!;
      const [start, end] = double ?? single ?? bare ?? [0, 0];
      if (start < end) spans.push([offset + start, offset + end]);
    }
  }
  return spans;
}
