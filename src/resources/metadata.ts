import { createHash } from "node:crypto";
import type { Cache, Resource } from "../cache/cache.ts";
import type { CacheStatus } from "../cache/cache-status.ts";
import { Collapse } from "../cache/collapse.ts";
import type { Loaded } from "../cache/settle.ts";
import type { Clock, Ms } from "../clock.ts";
import { Unannounced, UpstreamUnavailable } from "../errors.ts";
import { projectOfDistribution } from "../pypi/distribution-names.ts";
import { findFile } from "../pypi/file-entries.ts";
import { encodeFilePath, type HashPath } from "../pypi/file-path.ts";
import type { Entry } from "../store/store.ts";
import type { AbsentAnswer, DocumentAnswer } from "../upstream/answer.ts";
import { decodeBody } from "../upstream/decode.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { Absences } from "./absences.ts";
import type { Documents } from "./documents.ts";
import { encode } from "./encode.ts";
import { readDocument } from "./read-document.ts";
import type { Representations } from "./representations.ts";

export interface MetadataOptions {
  readonly cache: Cache;
  /** The index, which announces metadata with their hash. */
  readonly documents: Documents;
  readonly representations: Representations;
  /** The files host. */
  readonly upstream: Upstream;
  readonly maxDocumentBytes: number;
  /** How long the absence of what the index does not announce is believed. */
  readonly negativeMs: Ms;
  readonly clock: Clock;
}

/** What became of a request for what the index does not announce. */
export type PassedThrough =
  | { readonly kind: "absent"; readonly status: CacheStatus }
  | {
      readonly kind: "found";
      readonly answer: DocumentAnswer;
      /** Without its coding. */
      readonly body: Buffer;
      readonly status: CacheStatus;
    };

const UNANNOUNCED = "unannounced";

/**
 * What is kept beside a distribution, core metadata first (PEP 658): small and hot, so it lives with the documents. The
 * path has the distribution's hash, not its own: that is the index's to say, and what does not have it is not stored
 * (clients.md rule 3). So it is the index, too, that metadata are validated by: the files host is asked once.
 */
export class Metadata {
  readonly #options: MetadataOptions;
  readonly #passing: Collapse<DocumentAnswer | AbsentAnswer>;
  readonly #absences: Absences;

  constructor(options: MetadataOptions) {
    this.#options = options;
    this.#passing = new Collapse(options.clock);
    this.#absences = new Absences(options.clock, options.negativeMs);
  }

  /** The metadata of one distribution. `load` rejects with Unannounced where the index does not know their hash. */
  resource(path: HashPath): Resource {
    return {
      group: `/packages/${path.blake2b256}`,
      name: `metadata/${path.filename}`,
      load: (held) => this.#load(path, held),
    };
  }

  /**
   * What upstream has there, unproved, for what the index does not announce: deleted releases, signatures. Never stored;
   * that there is none is believed for a while.
   * @throws UpstreamUnavailable
   */
  async passThrough(path: HashPath): Promise<PassedThrough> {
    const key = encodeFilePath(path);
    const leftMs = this.#absences.leftMs(key);
    if (leftMs > 0) return { kind: "absent", status: { kind: "hit", ttlMs: leftMs, detail: UNANNOUNCED } };
    const { result, collapsed } = this.#passing.join(key, () => this.#forward(path));
    const answer = await result;
    const forwarded = { kind: "forward", fwd: "miss", stored: false, collapsed } as const;
    const status = { ...forwarded, ttlMs: undefined, detail: UNANNOUNCED };
    if (answer.kind === "absent") {
      this.#absences.note(key);
      return { kind: "absent", status: { ...status, fwdStatus: answer.status } };
    }
    const body = await decodeBody(answer.body, answer.coding, this.#options.maxDocumentBytes);
    return { kind: "found", answer, body, status: { ...status, fwdStatus: 200 } };
  }

  async #forward(path: HashPath): Promise<DocumentAnswer | AbsentAnswer> {
    const answer = await this.#ask(path);
    if (answer.kind === "not-modified") throw new Error("a 304 to a request without a validator");
    return answer;
  }

  async #load(path: HashPath, held: Entry | undefined): Promise<Loaded> {
    const announced = await this.#announcedHash(path);
    const etag = `"${announced}"`;
    if (held?.etag === etag) {
      return { kind: "not-modified", date: held.date, confirmedAt: this.#options.clock.now() };
    }
    const answer = await this.#ask(path);
    const { date, confirmedAt } = answer;
    if (answer.kind === "absent") {
      // To pip and uv a 404 here is fatal; that it was announced says that it will be there.
      const { status } = answer;
      throw new UpstreamUnavailable("status", `${path.filename}: announced, but not there`, { status });
    }
    if (answer.kind === "not-modified") throw new Error("a 304 to a request without a validator");
    // A compressed answer carries the ETag of the plain bytes (facts/pypi.md §10.6): only these are hashed.
    const bytes = await decodeBody(answer.body, answer.coding, this.#options.maxDocumentBytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    if (sha256 !== announced) {
      throw new UpstreamUnavailable(
        "hash-mismatch",
        `${path.filename}: not the bytes that the index announces`,
      );
    }
    const body = await encode(bytes, "gzip");
    return {
      kind: "response",
      generation: undefined,
      confirmedAt,
      etag,
      date,
      contentType: answer.contentType,
      coding: "gzip",
      digest: createHash("sha256").update(body).digest("hex"),
      body,
      ownName: undefined,
    };
  }

  #ask(path: HashPath) {
    return this.#options.upstream.get(encodeFilePath(path), { accept: "*/*" });
  }

  /**
   * The hash that the project's page announces for these metadata.
   * @throws Unannounced when it announces none, UpstreamUnavailable when the page cannot be had
   */
  async #announcedHash(path: HashPath): Promise<string> {
    const project = path.isMetadata ? projectOfDistribution(path.distribution) : undefined;
    if (project === undefined) throw new Unannounced(path.filename);
    // A client may come from a page that is newer than the one held here: so the page is asked for again before it is
    // said not to know the file.
    const hash =
      (await this.#hashOnPage(project, path, false)) ?? (await this.#hashOnPage(project, path, true));
    if (hash === undefined) throw new Unannounced(path.filename);
    return hash;
  }

  async #hashOnPage(project: string, path: HashPath, noCache: boolean): Promise<string | undefined> {
    const page = this.#options.documents.simple(project, "json");
    const { bytes } = await readDocument(page, this.#options, noCache);
    const facts = bytes === undefined ? undefined : await findFile(bytes, path.distribution);
    // Another file may have had this name: only the path says which bytes it is about.
    return facts?.url.includes(hashSegments(path)) === true ? facts.coreMetadataSha256 : undefined;
  }
}

function hashSegments({ blake2b256 }: HashPath): string {
  return `/packages/${blake2b256.slice(0, 2)}/${blake2b256.slice(2, 4)}/${blake2b256.slice(4)}/`;
}
