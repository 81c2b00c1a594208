import {
  answerWith,
  representation,
  textAnswer,
  type Answer,
  type Representation,
  type Site,
} from "./answers.ts";
import { CORS, EDGE } from "./edge.ts";
import { normalizeName, projectDocument, pypiJson, releaseDocument, type ReleaseSpec } from "./documents.ts";

/** A body to serve: bytes as they are, or a value to be written as warehouse writes it. */
export type Body = Buffer | object;

export interface ProjectOptions {
  /** 1 where not given. */
  readonly serial?: number;
  /** One release, "1.0", where not given. Each gets its version document. */
  readonly releases?: readonly (string | ReleaseSpec)[];
  readonly description?: string;
  readonly info?: Readonly<Record<string, unknown>>;
  /** Replaces the project document; version documents are made as ever. */
  readonly body?: Body;
  /** The gzip bytes to send for it, where they were recorded. */
  readonly gzip?: Buffer;
}

export interface ReleaseOptions {
  readonly serial?: number;
  readonly spellings?: readonly string[];
  readonly body?: Body;
  readonly gzip?: Buffer;
}

/** The JSON API as pypi.org's edge shows it (facts/pypi.md §1). */
export interface JsonApi {
  readonly site: Site;
  /** Puts a project, or replaces it with all its version documents. */
  readonly project: (name: string, options?: ProjectOptions) => void;
  /** Puts or replaces one version document. */
  readonly release: (project: string, version: string, options?: ReleaseOptions) => void;
  /** Takes a project away, or one of its version documents. */
  readonly remove: (project: string, version?: string) => void;
}

const DOCUMENT = /^\/pypi\/([^/]+)(?:\/([^/]+))?\/json(\/?)$/;

/** @param baseUrl for the one redirect whose Location is absolute */
export function createJsonApi(baseUrl: () => string): JsonApi {
  const projects = new Map<string, Representation>();
  const releases = new Map<string, Map<string, Representation>>();

  function find(project: string, version: string | undefined): Representation | undefined {
    return version === undefined ? projects.get(project) : releases.get(project)?.get(version);
  }

  function release(project: string, version: string, options: ReleaseOptions = {}): void {
    const serial = options.serial ?? 1;
    const body = options.body ?? releaseDocument({ name: project, serial, releases: [] }, { version });
    const found = document(body, serial, options.gzip);
    const name = normalizeName(project);
    const versions = releases.get(name) ?? new Map<string, Representation>();
    for (const spelling of [version, ...(options.spellings ?? [])]) versions.set(spelling, found);
    releases.set(name, versions);
  }

  return {
    site: ({ method, path, headers }) => {
      const match = DOCUMENT.exec(path);
      if (match === null) return undefined;
      const [, typed = "", typedVersion, slash] = match;
      if (!["GET", "HEAD", "OPTIONS"].includes(method)) return methodNotAllowed();
      const name = normalizeName(typed);
      if (slash === "/") return slashRedirect(name, typedVersion);
      const meant = normalizeName(decoded(typed));
      if (meant !== name) return originRedirect(`${baseUrl()}${documentPath(meant, typedVersion)}`);
      const found = find(name, typedVersion && decoded(typedVersion));
      if (found === undefined) return notFound();
      return method === "OPTIONS" ? optionsAnswer(found) : answerWith(found, { method, path, headers });
    },
    project: (name, options = {}) => {
      const serial = options.serial ?? 1;
      const specs = (options.releases ?? ["1.0"]).map((spec) =>
        typeof spec === "string" ? { version: spec } : spec,
      );
      const { description, info } = options;
      const project = {
        name,
        serial,
        releases: specs,
        ...(description === undefined ? {} : { description }),
        ...(info === undefined ? {} : { info }),
      };
      const normalized = normalizeName(name);
      projects.set(normalized, document(options.body ?? projectDocument(project), serial, options.gzip));
      releases.delete(normalized);
      for (const spec of specs) {
        const body = releaseDocument(project, spec);
        release(name, spec.version, { serial, body, spellings: spec.spellings ?? [] });
      }
    },
    release,
    remove: (project, version) => {
      const name = normalizeName(project);
      if (version !== undefined) {
        releases.get(name)?.delete(version);
        return;
      }
      projects.delete(name);
      releases.delete(name);
    },
  };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // no valid percent-encoding: nothing has such a name
  }
}

function documentPath(name: string, version: string | undefined): string {
  return version === undefined ? `/pypi/${name}/json` : `/pypi/${name}/${version}/json`;
}

function document(body: Body, serial: number, gzip: Buffer | undefined): Representation {
  const identity = Buffer.isBuffer(body) ? body : pypiJson(body);
  const headers = {
    "cache-control": "max-age=900, public",
    "x-pypi-last-serial": String(serial),
    ...CORS,
    ...EDGE,
  };
  return representation(identity, "application/json", headers, gzip);
}

/** facts/pypi.md §1.3: 24 bytes, no newline, no Cache-Control, no ETag, no serial. */
function notFound(): Answer {
  return textAnswer(404, "application/json", '{"message": "Not Found"}', { ...CORS, ...EDGE });
}

/** Made by the edge (facts/pypi.md §1.1, §10.8). */
function slashRedirect(name: string, version: string | undefined): Answer {
  const html =
    "<html><head><title>301 Moved Permanently</title></head><body><center><h1>301 Moved Permanently</h1></center></body></html>";
  const headers = { location: documentPath(name, version), "retry-after": "0", connection: "close" };
  return textAnswer(301, "text/html; charset=UTF-8", html, headers);
}

/** Made by the origin, where the edge has not normalized the name. */
function originRedirect(location: string): Answer {
  const headers = { location, "cache-control": "max-age=900, public", ...CORS, ...EDGE };
  return textAnswer(301, "text/plain; charset=UTF-8", "301 Moved Permanently", headers);
}

/** Passed to the origin uncached: 200 with the whole body, and no ETag (facts/pypi.md §1.6). */
function optionsAnswer(found: Representation): Answer {
  const content = { "content-type": found.contentType, "content-length": String(found.identity.length) };
  return { status: 200, headers: { ...content, ...found.headers }, body: found.identity };
}

function methodNotAllowed(): Answer {
  const headers = { allow: "GET, HEAD, OPTIONS" };
  return textAnswer(405, "text/plain; charset=UTF-8", "405 Method Not Allowed", headers);
}
