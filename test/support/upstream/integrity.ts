import {
  answerWith,
  representation,
  textAnswer,
  type Answer,
  type Representation,
  type Site,
} from "./answers.ts";
import { normalizeName, pypiJson } from "./documents.ts";
import { CORS, EDGE } from "./edge.ts";

/** The provenance of files: what `provenance` of the Simple API names (facts/pypi.md §3). */
export interface Integrity {
  readonly site: Site;
  /** Gives a file attestations; false: the file is known and has none. */
  readonly attest: (project: string, version: string, filename: string, provenance?: object | false) => void;
}

const PROVENANCE = /^\/integrity\/([^/]+)\/([^/]+)\/([^/]+)\/provenance$/;

const LIFETIME = { "cache-control": "max-age=600, public" };

/** Path of a file's provenance. */
export function provenancePath(project: string, version: string, filename: string): string {
  return `/integrity/${normalizeName(project)}/${version}/${filename}/provenance`;
}

export function createIntegrity(): Integrity {
  const known = new Map<string, Representation | false>();
  return {
    site: ({ method, path, headers }) => {
      const [, project = "", version = "", filename = ""] = PROVENANCE.exec(path) ?? [];
      if (filename === "") return undefined;
      if (method !== "GET" && method !== "HEAD") return textAnswer(405, "text/html", "405", { allow: "GET" });
      const found = known.get(provenancePath(project, version, filename));
      if (found === undefined) return textAnswer(404, "text/html; charset=UTF-8", "<h1>404</h1>");
      if (found === false) return message(404, `No provenance available for ${filename}`);
      const contentType = acceptable(headers.accept);
      if (contentType === undefined) return message(406, "Request not acceptable");
      return answerWith({ ...found, contentType }, { method, path, headers });
    },
    attest: (project, version, filename, provenance = sample(filename)) => {
      // Compact, sorted, and without the newline that the other documents end with.
      const body = provenance === false ? false : pypiJson(provenance).subarray(0, -1);
      const found = body && representation(body, "", { ...LIFETIME, ...CORS, ...EDGE });
      known.set(provenancePath(project, version, filename), found);
    },
  };
}

const OWN_TYPE = "application/vnd.pypi.integrity.v1+json";

function acceptable(accept = "*/*"): string | undefined {
  const types = accept.split(",").map((range) => range.replace(/;.*/, "").trim());
  if (types.some((type) => [OWN_TYPE, "*/*", "application/*", ""].includes(type))) return OWN_TYPE;
  return types.includes("application/json") ? "application/json" : undefined;
}

/** Returned by the view, so that it has a lifetime too. */
function message(status: number, text: string): Answer {
  return textAnswer(status, "application/json", JSON.stringify({ message: text }), LIFETIME);
}

function sample(filename: string): object {
  const publisher = {
    environment: "release",
    kind: "GitHub",
    repository: "someone/demo",
    workflow: "release.yml",
  };
  const statement = Buffer.from(JSON.stringify({ subject: [{ name: filename }] })).toString("base64");
  const attestation = { envelope: { signature: "c2lnbmF0dXJl", statement }, version: 1 };
  return { attestation_bundles: [{ attestations: [attestation], publisher }], version: 1 };
}
