import { createHash } from "node:crypto";
import type { Resource } from "../cache/cache.ts";
import type { Loaded } from "../cache/settle.ts";
import type { Ms } from "../clock.ts";
import { UpstreamUnavailable, type UpstreamFailure } from "../errors.ts";
import { maySpellOneVersion } from "../pypi/names.ts";
import type { Entry } from "../store/store.ts";
import { decodeBody } from "../upstream/decode.ts";
import type { DocumentAnswer, Upstream } from "../upstream/upstream.ts";
import type { DecodedDocuments } from "./decoded-documents.ts";
import { encode } from "./encode.ts";
import { type KindName, kindOf, prove, proveType, type Scanned } from "./kinds.ts";
import { proveByEnds } from "./prove-ends.ts";

export interface DocumentsOptions {
  readonly upstream: Upstream;
  /** Of the decoded document; what is longer is not believed. */
  readonly maxDocumentBytes: number;
  /** Takes what a fill has decoded, for the representation that is asked for next. */
  readonly decoded: Pick<DecodedDocuments, "expect">;
  /** A body was not proved whole by its ETag, as PyPI's are (facts/pypi.md §10.1), but by all else it is. */
  readonly onUnproven: (path: string, etag: string | undefined) => void;
}

// Shorter bodies do not shrink enough to be worth a coding.
const STORE_COMPRESSED_FROM_BYTES = 1_024;

// The feeds of PyPI's newest: what makes them useful is that they are new (facts/pypi.md §7).
const FEED_FRESH_MS: Ms = 60_000;
const STATS_FRESH_MS: Ms = 86_400_000;

/** How a document is asked for. */
interface Request {
  readonly group: string;
  /** Its first part is the kind. */
  readonly name: `${KindName}${"" | `/${string}`}`;
  readonly path: string;
  /** Its absence means that all of the group is gone. */
  readonly endsGroup?: boolean;
  /** The version as the client spelled it. */
  readonly version?: string;
  readonly freshMs?: Ms;
}

/** PyPI's documents as resources of the cache: the group is the project, the generation its serial. */
export class Documents {
  readonly #options: DocumentsOptions;

  constructor(options: DocumentsOptions) {
    this.#options = options;
  }

  /** `/pypi/<project>/json`; `project` is normalized, here and in all that follow. */
  project(project: string): Resource {
    // That there is none does not mean that there is no project: one without releases has a page, and no document (trap 12).
    return this.#resource({ group: project, name: "json", path: `/pypi/${project}/json` });
  }

  /**
   * `/pypi/<project>/<version>/json`, filed as the client spelled the version. Many spellings name one release, but
   * only upstream knows which (trap 15): once its answer says so, they share one entry.
   */
  release(project: string, version: string): Resource {
    const path = `/pypi/${project}/${encodeURIComponent(version)}/json`;
    return this.#resource({ group: project, name: releaseName(version), path, version });
  }

  /** `/simple/<project>/`, in HTML or JSON: each a resource of its own, under one head with the JSON API's. */
  simple(project: string, form: "html" | "json"): Resource {
    return this.#resource({
      group: project,
      name: `simple-${form}`,
      path: `/simple/${project}/`,
      endsGroup: true,
    });
  }

  /**
   * `/simple/` itself, in HTML or JSON: 40 MB. Each form is a group of its own, for PyPI itself keeps one for half an
   * hour and the other for a day (facts/pypi.md §2.3).
   */
  root(form: "html" | "json"): Resource {
    return this.#resource({ group: `/simple/${form}`, name: `root-${form}`, path: "/simple/" });
  }

  /** `/integrity/<project>/<version>/<filename>/provenance` (PEP 740). */
  provenance(project: string, version: string, filename: string): Resource {
    const path = `/integrity/${[project, version, filename].map(encodeURIComponent).join("/")}/provenance`;
    return this.#resource({
      group: provenanceGroup(project),
      name: `provenance/${version}/${filename}`,
      path,
    });
  }

  /** `/rss/updates.xml`, `/rss/packages.xml`. */
  feed(feed: "updates" | "packages"): Resource {
    return this.#resource({
      group: `/rss/${feed}`,
      name: "rss",
      path: `/rss/${feed}.xml`,
      freshMs: FEED_FRESH_MS,
    });
  }

  /** `/rss/project/<project>/releases.xml`. */
  projectFeed(project: string): Resource {
    return this.#resource({
      group: projectFeedGroup(project),
      name: "rss",
      path: `/rss/project/${project}/releases.xml`,
      freshMs: FEED_FRESH_MS,
    });
  }

  /** `/stats/`, in HTML or JSON. */
  stats(form: "html" | "json"): Resource {
    return this.#resource({
      group: "/stats/",
      name: `stats-${form}`,
      path: "/stats/",
      freshMs: STATS_FRESH_MS,
    });
  }

  #resource(request: Request): Resource {
    const { group, name, freshMs } = request;
    return { group, name, ...(freshMs && { freshMs }), load: (held) => this.#load(request, held) };
  }

  async #load(request: Request, held: Entry | undefined): Promise<Loaded> {
    const { path, endsGroup = false } = request;
    const { accept } = kindOf(request.name);
    const answer = await this.#options.upstream.get(path, { accept, etag: held?.etag });
    if (answer.kind === "ok") return await this.#response(request, answer, held);
    const { date, confirmedAt } = answer;
    if (answer.kind === "not-modified") return { kind: "not-modified", date, confirmedAt };
    return { kind: "negative", status: answer.status, date, confirmedAt, endsGroup };
  }

  async #response(request: Request, answer: DocumentAnswer, held: Entry | undefined): Promise<Loaded> {
    const { path } = request;
    const kind = kindOf(request.name);
    proveType(kind, path, answer.contentType);
    if (kind.proveEnds !== undefined) return await this.#large(request, answer, kind.proveEnds, kind.failure);
    const bytes = await decodeBody(answer.body, answer.coding, this.#options.maxDocumentBytes);
    const scanned = await prove(kind, path, bytes);
    if (scanned.isUnmarked === true && answer.serial === undefined && (held?.generation ?? 0) > 0) {
      throw new UpstreamUnavailable(kind.failure, `${path}: nothing shows that it is what it was before`, {
        status: 200,
      });
    }
    if (answer.etagMatched === false) this.#options.onUnproven(path, answer.etag);
    const stored = await toStore(answer, bytes);
    this.#options.decoded.expect(stored.digest, { bytes, scanned, isOwn: bytes !== answer.body });
    const { etag, date, confirmedAt, contentType } = answer;
    const generation = answer.serial ?? scanned.serial;
    const ownName = ownNameOf(scanned, request.version);
    return { kind: "response", generation, confirmedAt, etag, date, contentType, ...stored, ownName };
  }

  /** What is too large to be held decoded is kept as it came. */
  async #large(
    { path }: Request,
    answer: DocumentAnswer,
    isRight: (head: string, tail: string) => boolean,
    failure: UpstreamFailure,
  ): Promise<Loaded> {
    const { body, coding, digest, etag, date, confirmedAt, contentType, serial } = answer;
    await proveByEnds(body, coding, this.#options.maxDocumentBytes, isRight, failure);
    if (answer.etagMatched === false) this.#options.onUnproven(path, etag);
    const stored = coding === "gzip" ? { body, coding, digest } : await compressed(body);
    return {
      kind: "response",
      generation: serial,
      confirmedAt,
      etag,
      date,
      contentType,
      ...stored,
      ownName: undefined,
    };
  }
}

// These come without a serial: they say nothing of the project's other documents, nor those of them.
const provenanceGroup = (project: string): string => `/integrity/${project}`;
const projectFeedGroup = (project: string): string => `/rss/project/${project}`;

/** Every group that holds something of a project. */
export function groupsOf(project: string): readonly string[] {
  return [project, provenanceGroup(project), projectFeedGroup(project)];
}

function releaseName(version: string): `json/${string}` {
  return `json/${version}`;
}

/** The name of the release that a document describes, where it is another spelling of the one asked for. */
function ownNameOf(scanned: Scanned, version: string | undefined): string | undefined {
  if (version === undefined || scanned.version === undefined || scanned.version === version) return undefined;
  return maySpellOneVersion(scanned.version, version) ? releaseName(scanned.version) : undefined;
}

/** Upstream's own bytes where they are compressed (facts/pypi.md §10.2), else compressed here. */
async function toStore(
  answer: DocumentAnswer,
  bytes: Buffer,
): Promise<Pick<Entry, "coding" | "digest"> & { body: Buffer }> {
  if (answer.coding === "gzip" || bytes.length < STORE_COMPRESSED_FROM_BYTES) {
    return { body: answer.body, coding: answer.coding, digest: answer.digest };
  }
  return await compressed(bytes);
}

async function compressed(bytes: Buffer): Promise<Pick<Entry, "coding" | "digest"> & { body: Buffer }> {
  const body = await encode(bytes, "gzip");
  return { body, coding: "gzip", digest: createHash("sha256").update(body).digest("hex") };
}
