import { normalizeName, pypiJson } from "./documents.ts";

/** A file of a project page, with the very keys of PEP 691 as warehouse writes them (facts/pypi.md §2.5). */
export interface SimpleFile {
  readonly "core-metadata": false | { readonly sha256: string };
  readonly "data-dist-info-metadata": false | { readonly sha256: string };
  readonly filename: string;
  readonly hashes: { readonly sha256: string };
  readonly provenance: string | null;
  readonly "requires-python": string | null;
  readonly size: number;
  readonly "upload-time": string;
  readonly url: string;
  readonly yanked: string | boolean;
}

/** A project page. */
export interface SimplePage {
  readonly files: readonly SimpleFile[];
  readonly meta: { readonly "_last-serial": number; readonly "api-version": string };
  /** Normalized. */
  readonly name: string;
  readonly "project-status": { readonly status: string };
  readonly versions: readonly string[];
}

/** A project as the root lists it. */
export interface ListedProject {
  /** As displayed. */
  readonly name: string;
  readonly serial: number;
}

/** What the pages say of themselves. */
export const API_VERSION = "1.4";

/** `/simple/<project>/` in JSON. */
export function pageJson(page: SimplePage): Buffer {
  return pypiJson(page);
}

/** `/simple/<project>/` in HTML: warehouse's template, which PEP 833 froze byte for byte (facts/pypi.md §2.6). */
export function pageHtml(page: SimplePage): Buffer {
  const name = escaped(page.name);
  const lines = [
    "<!DOCTYPE html>",
    '<html lang="en">',
    "  <head>",
    `    <meta name="pypi:repository-version" content="${page.meta["api-version"]}">`,
    // One line: the template eats the break after the status.
    `<meta name="pypi:project-status" content="${page["project-status"].status}">    <title>Links for ${name}</title>`,
    "  </head>",
    "  <body>",
    `    <h1>Links for ${name}</h1>`,
    ...page.files.map(anchor),
    "</body>",
    "</html>",
    `<!--SERIAL ${page.meta["_last-serial"]}-->`,
  ];
  return Buffer.from(lines.join("\n"), "utf8");
}

function anchor(file: SimpleFile): string {
  const requires = file["requires-python"];
  const metadata = file["core-metadata"];
  const attributes = [
    requires === null ? "" : `data-requires-python="${escaped(requires)}" `,
    file.yanked === false ? "" : `data-yanked="${file.yanked === true ? "" : escaped(file.yanked)}" `,
    metadata === false
      ? ""
      : `data-dist-info-metadata="sha256=${metadata.sha256}" data-core-metadata="sha256=${metadata.sha256}"`,
    file.provenance === null ? "" : ` data-provenance="${escaped(file.provenance)}"`,
  ];
  const href = `${escaped(file.url)}#sha256=${file.hashes.sha256}`;
  return `<a href="${href}" ${attributes.join("")}>${escaped(file.filename)}</a><br />`;
}

/** `/simple/` in JSON: sorted by normalized name, named as displayed (facts/pypi.md §2.4). */
export function rootJson(projects: readonly ListedProject[]): Buffer {
  const listed = sorted(projects).map(({ name, serial }) => ({ "_last-serial": serial, name }));
  return pypiJson({
    meta: { "_last-serial": newestSerial(projects), "api-version": API_VERSION },
    projects: listed,
  });
}

/** `/simple/` in HTML. */
export function rootHtml(projects: readonly ListedProject[]): Buffer {
  const lines = [
    "<!DOCTYPE html>",
    '<html lang="en">',
    "  <head>",
    `    <meta name="pypi:repository-version" content="${API_VERSION}">`,
    "    <title>Simple index</title>",
    "  </head>",
    "  <body>",
    ...sorted(projects).map(
      ({ name }) => `    <a href="/simple/${normalizeName(name)}/">${escaped(name)}</a>`,
    ),
    "  </body>",
    "</html>",
    `<!--SERIAL ${newestSerial(projects)}-->`,
  ];
  return Buffer.from(lines.join("\n"), "utf8");
}

/** The serial of the root. */
export function newestSerial(projects: readonly ListedProject[]): number {
  return projects.reduce((newest, { serial }) => Math.max(newest, serial), 0);
}

function sorted(projects: readonly ListedProject[]): ListedProject[] {
  const key = ({ name }: ListedProject) => Buffer.from(normalizeName(name));
  return [...projects].sort((a, b) => Buffer.compare(key(a), key(b)));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

/** As Jinja's autoescape does. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
