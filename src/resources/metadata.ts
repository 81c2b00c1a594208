import { createHash } from "node:crypto";
import type { Cache, Resource } from "../cache/cache.ts";
import { Unanswered } from "../cache/cache.ts";
import { isNegative } from "../cache/freshness.ts";
import type { Loaded } from "../cache/settle.ts";
import type { Ms } from "../clock.ts";
import { Unannounced, UpstreamUnavailable } from "../errors.ts";
import { projectOfDistribution } from "../pypi/distribution-names.ts";
import { findFile } from "../pypi/file-entries.ts";
import { encodeFilePath, type HashPath } from "../pypi/file-path.ts";
import { decodeBody } from "../upstream/decode.ts";
import type { DocumentAnswer, Upstream } from "../upstream/upstream.ts";
import type { Documents } from "./documents.ts";
import { encode } from "./encode.ts";
import { FILE_MAX_AGE_SECONDS } from "./files.ts";
import type { Representations } from "./representations.ts";

export interface MetadataOptions {
  readonly cache: Cache;
  /** The index, which announces metadata with their hash. */
  readonly documents: Documents;
  readonly representations: Representations;
  /** The files host. */
  readonly upstream: Upstream;
  readonly maxDocumentBytes: number;
}

const FRESH_MS: Ms = FILE_MAX_AGE_SECONDS * 1_000;

/**
 * What is kept beside a distribution, core metadata first (PEP 658): small, hot and immutable, so it lives with the
 * documents. The path has the distribution's hash, not its own: that is the index's to say, and what does not have it is
 * not stored (clients.md rule 3).
 */
export class Metadata {
  readonly #options: MetadataOptions;

  constructor(options: MetadataOptions) {
    this.#options = options;
  }

  /** The metadata of one distribution. `load` rejects with Unannounced where the index does not know their hash. */
  resource(path: HashPath): Resource {
    return {
      group: `/packages/${path.blake2b256}`,
      name: `metadata/${path.filename}`,
      freshMs: FRESH_MS,
      load: () => this.#load(path),
    };
  }

  /**
   * What upstream has there, unproved, for what the index does not announce: deleted releases, signatures. Never stored.
   * @returns undefined when upstream has none
   * @throws UpstreamUnavailable
   */
  async passThrough(path: HashPath): Promise<{ answer: DocumentAnswer; body: Buffer } | undefined> {
    const answer = await this.#ask(path);
    if (answer.kind !== "ok") return undefined;
    return { answer, body: await decodeBody(answer.body, answer.coding, this.#options.maxDocumentBytes) };
  }

  async #load(path: HashPath): Promise<Loaded> {
    const announced = await this.#announcedHash(path);
    const answer = await this.#ask(path);
    const { date, confirmedAt } = answer;
    if (answer.kind === "absent")
      return { kind: "negative", status: 404, date, confirmedAt, endsGroup: false };
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
      etag: undefined,
      date,
      contentType: answer.contentType,
      coding: "gzip",
      digest: createHash("sha256").update(body).digest("hex"),
      body,
      ownName: undefined,
    };
  }

  #ask(path: HashPath) {
    return this.#options.upstream.get(encodeFilePath(path), { accept: "*/*", expect: "any" });
  }

  /**
   * The hash that the project's page announces for these metadata.
   * @throws Unannounced when it announces none, UpstreamUnavailable when the page cannot be had
   */
  async #announcedHash(path: HashPath): Promise<string> {
    const project = path.isMetadata ? projectOfDistribution(path.distribution) : undefined;
    if (project === undefined) throw new Unannounced(path.filename);
    const page = await this.#page(project);
    const facts = page === undefined ? undefined : await findFile(page, path.distribution);
    const isOfThisFile = facts?.url.includes(hashSegments(path)) === true;
    if (!isOfThisFile || facts.coreMetadataSha256 === undefined) throw new Unannounced(path.filename);
    return facts.coreMetadataSha256;
  }

  async #page(project: string): Promise<Buffer | undefined> {
    const { cache, documents, representations } = this.#options;
    try {
      const { held } = await cache.fetch(documents.simple(project, "json"), { noCache: false });
      return isNegative(held.entry) ? undefined : await representations.decoded(held);
    } catch (error) {
      throw error instanceof Unanswered ? error.cause : error;
    }
  }
}

function hashSegments({ blake2b256 }: HashPath): string {
  return `/packages/${blake2b256.slice(0, 2)}/${blake2b256.slice(2, 4)}/${blake2b256.slice(4)}/`;
}
