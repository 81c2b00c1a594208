import { gzipSync } from "node:zlib";
import { textAnswer, type Answer, type Site } from "./answers.ts";

/** One change of a project: a row of PyPI's journal. */
interface Row {
  readonly name: string;
  readonly version: string | undefined;
  readonly at: number;
  readonly action: string;
  readonly serial: number;
}

export interface JournalEntry {
  readonly version?: string;
  /** What happened, in PyPI's words; "new release" where not given. */
  readonly action?: string;
  /** The next one where not given. One that there is already is not written twice: a serial is one change's own. */
  readonly serial?: number;
}

/** PyPI's journal of changes, and the XML-RPC that tells of it (facts/pypi.md §4.2). */
export interface Changelog {
  readonly site: Site;
  /** Writes a change of a project down, and nothing else. @returns its serial */
  readonly journal: (name: string, entry?: JournalEntry) => number;
  /** Of the newest change. */
  readonly lastSerial: () => number;
  /** Takes away all that came after a serial, as a restore from an old backup does. */
  readonly restore: (serial: number) => void;
  /** How many rows are told at a time. */
  pageRows: number;
}

const PATHS = new Set(["/pypi", "/pypi/", "/RPC2"]);

export function createChangelog(): Changelog {
  const rows: Row[] = [];

  const lastSerial = (): number => rows.at(-1)?.serial ?? 0;

  function since(serial: number): string {
    const page = rows.filter((row) => row.serial > serial).slice(0, changelog.pageRows);
    const told = page.map(({ name, version, at, action, serial }) =>
      array([
        string(name),
        version === undefined ? "<nil/>" : string(version),
        int(at),
        string(action),
        int(serial),
      ]),
    );
    return array(told);
  }

  function called(body: string): string {
    const method = /<methodName>([^<]*)<\/methodName>/.exec(body)?.[1] ?? "";
    const argument = /<int>(-?\d+)<\/int>/.exec(body)?.[1];
    if (method === "changelog_last_serial") return params(int(lastSerial()));
    if (method === "changelog_since_serial" && argument !== undefined) return params(since(Number(argument)));
    return fault(-32500, "RuntimeError: PyPI no longer supports this method.");
  }

  const changelog: Changelog = {
    site: ({ method, path, headers, body = "" }) => {
      if (method !== "POST" || !PATHS.has(path)) return undefined;
      return asked(called(body), headers["accept-encoding"]);
    },
    journal: (name, { version, action = "new release", serial = lastSerial() + 1 } = {}) => {
      const at = Math.floor(Date.now() / 1_000);
      let index = rows.length;
      while (index > 0 && (rows[index - 1]?.serial ?? 0) > serial) index -= 1;
      if (rows[index - 1]?.serial !== serial) rows.splice(index, 0, { name, version, at, action, serial });
      return serial;
    },
    lastSerial,
    restore: (serial) => {
      while (lastSerial() > serial) rows.pop();
    },
    pageRows: 50_000,
  };
  return changelog;
}

/** A fault with status 200, as a response to a call. */
export function faultAnswer(code: number, message: string): Answer {
  return textAnswer(200, "text/xml; charset=UTF-8", fault(code, message));
}

function asked(xml: string, acceptEncoding: string | undefined): Answer {
  const plain = textAnswer(200, "text/xml; charset=UTF-8", xml);
  if (!/\bgzip\b/.test(acceptEncoding ?? "")) return plain;
  const body = gzipSync(plain.body);
  const coded = { "content-length": String(body.length), "content-encoding": "gzip" };
  return { ...plain, body, headers: { ...plain.headers, ...coded } };
}

// As Python's xmlrpc.client writes it, line ends and all.
const DECLARATION = "<?xml version='1.0'?>\n";

function params(value: string): string {
  return `${DECLARATION}<methodResponse>\n<params>\n<param>\n<value>${value}</value>\n</param>\n</params>\n</methodResponse>\n`;
}

function fault(code: number, message: string): string {
  const members = [
    ["faultCode", int(code)],
    ["faultString", string(message)],
  ].map(([name, value]) => `<member>\n<name>${name}</name>\n<value>${value}</value>\n</member>\n`);
  const struct = `<struct>\n${members.join("")}</struct>`;
  return `${DECLARATION}<methodResponse>\n<fault>\n<value>${struct}</value>\n</fault>\n</methodResponse>\n`;
}

function array(values: readonly string[]): string {
  return `<array><data>\n${values.map((value) => `<value>${value}</value>\n`).join("")}</data></array>`;
}

function string(text: string): string {
  const escaped = text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  return `<string>${escaped}</string>`;
}

function int(value: number): string {
  return `<int>${value}</int>`;
}
