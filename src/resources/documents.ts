import { createHash } from "node:crypto";
import type { Resource } from "../cache/cache.ts";
import type { Loaded } from "../cache/settle.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { type DocumentView, scanDocument } from "../pypi/json-document.ts";
import { maySpellOneVersion } from "../pypi/names.ts";
import { NotJson } from "../pypi/not-json.ts";
import type { Entry } from "../store/store.ts";
import { decodeBody } from "../upstream/decode.ts";
import type { DocumentAnswer, Upstream } from "../upstream/upstream.ts";
import { encode } from "./encode.ts";
import type { Decoded } from "./representations.ts";

export interface DocumentsOptions {
  readonly upstream: Upstream;
  /** Of the decoded document; what is longer is not believed. */
  readonly maxDocumentBytes: number;
  /** Takes what a fill has decoded, for the representation that is asked for next. */
  readonly expectDecoded: (digest: string, decoded: Decoded) => void;
  /** A body was not proved whole by its ETag, as PyPI's are (facts/pypi.md §10.1), but by all else it is. */
  readonly onUnproven: (path: string, etag: string | undefined) => void;
}

// Shorter bodies do not shrink enough to be worth a coding.
const STORE_COMPRESSED_FROM_BYTES = 1_024;

/** The documents of PyPI's JSON API as resources of the cache: the group is the project, the generation its serial. */
export class Documents {
  readonly #options: DocumentsOptions;

  constructor(options: DocumentsOptions) {
    this.#options = options;
  }

  /** `/pypi/<project>/json`; `project` is normalized. */
  project(project: string): Resource {
    return {
      group: project,
      name: "json",
      // No project document, no project: its releases' documents are gone with it (facts/pypi.md §1.3).
      load: (held) => this.#load(`/pypi/${project}/json`, held, true),
    };
  }

  /**
   * `/pypi/<project>/<version>/json`, filed as the client spelled the version. Many spellings name one release, but
   * only upstream knows which (trap 15): once its answer says so, they share one entry.
   */
  release(project: string, version: string): Resource {
    return {
      group: project,
      name: releaseName(version),
      load: (held) =>
        this.#load(`/pypi/${project}/${encodeURIComponent(version)}/json`, held, false, version),
    };
  }

  async #load(path: string, held: Entry | undefined, endsGroup: boolean, version?: string): Promise<Loaded> {
    const answer = await this.#options.upstream.get(path, { accept: "application/json", etag: held?.etag });
    if (answer.kind === "ok") return await this.#response(path, answer, version);
    const { date, confirmedAt } = answer;
    if (answer.kind === "absent")
      return { kind: "negative", status: answer.status, date, confirmedAt, endsGroup };
    return { kind: "not-modified", date, confirmedAt };
  }

  async #response(path: string, answer: DocumentAnswer, version: string | undefined): Promise<Loaded> {
    const bytes = await decodeBody(answer.body, answer.coding, this.#options.maxDocumentBytes);
    const view = await scan(path, bytes);
    if (answer.etagMatched === false) this.#options.onUnproven(path, answer.etag);
    const stored = await toStore(answer, bytes);
    this.#options.expectDecoded(stored.digest, { bytes, view });
    const { etag, date, confirmedAt, contentType } = answer;
    const generation = answer.serial ?? view.lastSerial;
    const ownName = ownNameOf(view, version);
    return { kind: "response", generation, confirmedAt, etag, date, contentType, ...stored, ownName };
  }
}

function releaseName(version: string): string {
  return `json/${version}`;
}

/** The name of the release that a document describes, where it is another spelling of the one asked for. */
function ownNameOf(view: DocumentView, version: string | undefined): string | undefined {
  if (version === undefined || view.version === undefined || view.version === version) return undefined;
  return maySpellOneVersion(view.version, version) ? releaseName(view.version) : undefined;
}

async function scan(path: string, bytes: Buffer): Promise<DocumentView> {
  try {
    return await scanDocument(bytes);
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    throw new UpstreamUnavailable("not-json", `${path}: ${error.message}`, { cause: error, status: 200 });
  }
}

/** Upstream's own bytes where they are compressed (facts/pypi.md §10.2), else compressed here. */
async function toStore(
  answer: DocumentAnswer,
  bytes: Buffer,
): Promise<Pick<Entry, "coding" | "digest"> & { body: Buffer }> {
  if (answer.coding === "gzip" || bytes.length < STORE_COMPRESSED_FROM_BYTES) {
    return { body: answer.body, coding: answer.coding, digest: answer.digest };
  }
  const body = await encode(bytes, "gzip");
  return { body, coding: "gzip", digest: createHash("sha256").update(body).digest("hex") };
}
