import { createHash } from "node:crypto";
import type { Cache } from "../cache/cache.ts";
import type { Held, Representation } from "../cache/memory.ts";
import { SERIAL_FIELD } from "../pypi/answers.ts";
import { filesMove, provenanceMove } from "../pypi/file-urls.ts";
import { moveUrls, type UrlMove } from "../pypi/url-moves.ts";
import { owned } from "../store/owned.ts";
import type { Awaitable, Coding, Entry } from "../store/store.ts";
import { decodeBody } from "../upstream/decode.ts";
import type { DecodedDocuments } from "./decoded-documents.ts";
import { encode } from "./encode.ts";
import { free } from "./free.ts";
import { kindOf } from "./kinds.ts";

/** Which representation of a document a request wants (RFC 9110 §3.2). */
export interface Wanted {
  readonly coding: "gzip" | "identity" | "zstd";
  /** Where file URLs point; undefined leaves them as upstream wrote them. No slash at the end. */
  readonly filesBase: string | undefined;
  /** Where the URLs of attestations point, likewise. */
  readonly integrityBase?: string | undefined;
  /** The Content-Type to serve it as, where it is not the stored one. */
  readonly contentType?: string;
}

export interface RepresentationsOptions {
  readonly cache: Cache;
  readonly decoded: DecodedDocuments;
  /** The files host as upstream writes it in documents, without a slash at the end. */
  readonly filesUpstream: string;
  /** The index host, likewise. */
  readonly indexUpstream: string;
}

// Part of every ETag: to be raised when the same entry comes to be served as other bytes.
const FORM = `2 ${process.versions.zlib} ${process.versions.zstd ?? ""}`;

// A body that is no longer goes out in one write with its head: up to 16 KiB libuv takes a string without a copy of its own.
const AS_TEXT_UP_TO_BYTES = 15_000;

/**
 * Makes stored documents ready to send: file URLs pointed where they shall, in the coding asked for. What is asked for
 * once is kept with the entry, and made once however many ask at the same time.
 */
export class Representations {
  readonly #options: RepresentationsOptions;
  readonly #making = new Map<string, Promise<Representation | undefined>>();

  constructor(options: RepresentationsOptions) {
    this.#options = options;
  }

  /**
   * The strong validator of a representation (RFC 9110 §8.8.3), known without making it: it follows from the stored
   * bytes and from all that is done to them.
   */
  etag(held: Held, wanted: Wanted): string {
    return this.ready(held, wanted)?.etag ?? mintEtag(held.entry, wanted);
  }

  /** A representation that is kept; undefined where it would have to be made. */
  ready(held: Held, wanted: Wanted): Representation | undefined {
    return held.representations.get(keyOf(wanted));
  }

  /** @returns undefined when the stored body is gone: the entry counts as a miss */
  get(held: Held, wanted: Wanted): Awaitable<Representation | undefined> {
    const key = keyOf(wanted);
    const ready = held.representations.get(key);
    if (ready !== undefined) return ready;
    const makingKey = `${held.entry.digest} ${held.entry.generation} ${key}`;
    const underWay = this.#making.get(makingKey);
    if (underWay !== undefined) return underWay;
    const making = this.#make(held, wanted).finally(() => this.#making.delete(makingKey));
    this.#making.set(makingKey, making);
    return making;
  }

  /** @returns the document without its coding, to look into; undefined when the stored body is gone */
  async decoded(held: Held): Promise<Buffer | undefined> {
    const stored = await this.#options.cache.body(held);
    // Never given back: who looks into it has it for as long as he likes.
    return stored && (await this.#options.decoded.borrow(held.entry, stored)).bytes;
  }

  async #make(held: Held, wanted: Wanted): Promise<Representation | undefined> {
    const body = await this.#body(held, wanted);
    if (body === undefined) return undefined;
    const representation = {
      etag: mintEtag(held.entry, wanted),
      body: body.length <= AS_TEXT_UP_TO_BYTES ? body.toString("latin1") : owned(body),
      fields: fieldsOf(held.entry, wanted),
    };
    this.#options.cache.keepRepresentation(held, keyOf(wanted), representation);
    return representation;
  }

  async #body(held: Held, wanted: Wanted): Promise<Buffer | undefined> {
    const sibling = siblingOf(held, wanted);
    if (sibling !== undefined) return await this.#recode(sibling, wanted);
    const stored = await this.#options.cache.body(held);
    if (stored === undefined) return undefined;
    const { decoded } = this.#options;
    const moves = this.#movesFor(wanted);
    if (moves.length === 0 && wanted.coding === held.entry.coding) {
      decoded.expectNobody(held.entry.digest);
      return stored;
    }
    const lent = await decoded.borrow(held.entry, stored);
    const { bytes, scanned } = lent;
    const served =
      scanned.urls === undefined
        ? bytes
        : await moveUrls(bytes, scanned.urls, moves, kindOf(held.entry.name).syntax);
    if (served === bytes && wanted.coding === held.entry.coding) {
      lent.giveBack();
      return stored;
    }
    const body = await encode(served, wanted.coding);
    if (served !== bytes && served !== body) free(served);
    if (body !== bytes) lent.giveBack();
    return body;
  }

  async #recode({ coding, body }: Sibling, wanted: Wanted): Promise<Buffer> {
    const bytes = typeof body === "string" ? Buffer.from(body, "latin1") : body;
    // Of larder's own making, and maybe longer than what it was made of.
    const decoded = await decodeBody(bytes, coding, Number.MAX_SAFE_INTEGER);
    const recoded = await encode(decoded, wanted.coding);
    if (decoded !== bytes && decoded !== recoded) free(decoded);
    return recoded;
  }

  #movesFor({ filesBase, integrityBase }: Wanted): UrlMove[] {
    const { filesUpstream, indexUpstream } = this.#options;
    const moves: UrlMove[] = [];
    if (filesBase !== undefined) moves.push(filesMove(filesUpstream, filesBase));
    if (integrityBase !== undefined) moves.push(provenanceMove(indexUpstream, integrityBase));
    return moves;
  }
}

function keyOf({ coding, filesBase = "", integrityBase = "", contentType = "" }: Wanted): string {
  return `${coding} ${filesBase} ${integrityBase} ${contentType}`;
}

interface Sibling extends Pick<Representation, "body"> {
  readonly coding: Coding;
}

/**
 * The same in another coding, if it is there: then all but the coding is done. Not for the coding of the stored body, which
 * goes out as it is where no URL moves.
 */
function siblingOf({ entry, representations }: Held, wanted: Wanted): Sibling | undefined {
  if (wanted.coding === entry.coding) return undefined;
  for (const coding of ["gzip", "identity"] as const) {
    const body = representations.get(keyOf({ ...wanted, coding }))?.body;
    if (body !== undefined) return { coding, body };
  }
  return undefined;
}

function mintEtag(entry: Entry, wanted: Wanted): string {
  const seed = `${entry.digest} ${entry.coding} ${keyOf(wanted)} ${FORM}`;
  return `"${createHash("sha256").update(seed).digest("base64url").slice(0, 27)}"`;
}

function fieldsOf(entry: Entry, wanted: Wanted): string[] {
  const fields = ["Content-Type", wanted.contentType ?? entry.contentType];
  if (wanted.coding !== "identity") fields.push("Content-Encoding", wanted.coding);
  if (entry.generation > 0) fields.push(SERIAL_FIELD, String(entry.generation));
  fields.push("X-Content-Type-Options", "nosniff");
  return fields;
}
