import type { Clock, Ms } from "../clock.ts";
import type { Entry } from "../store/store.ts";
import { decodeBody } from "../upstream/decode.ts";
import { free } from "./free.ts";
import { kindOf, type Scanned } from "./kinds.ts";

/** A document's bytes without content coding, and what a scan saw in them. */
export interface Decoded {
  readonly bytes: Buffer;
  readonly scanned: Scanned;
  /** Whether the bytes are nobody else's: not the stored body itself. */
  readonly isOwn: boolean;
}

/** A decoded document that somebody is at work on. */
export interface Lent extends Decoded {
  /** To be called once by who is done with the bytes and has handed them to nobody: the last one frees them. */
  giveBack(): void;
}

/** A document that is decoded, and how many are at work on it. */
interface Shared {
  readonly decoded: Decoded;
  users: number;
  /** A timer that is over and done with would hold the document as long as one that is not. */
  cancelForget?: () => void;
}

export interface DecodedDocumentsOptions {
  readonly clock: Clock;
  readonly maxDocumentBytes: number;
}

// A document that was just fetched is decoded already. Its first representations follow at once, or never.
const KEEP_DECODED_MS: Ms = 1_000;

/** Documents without their coding, shared by all that make something of one at the same time, and no longer. */
export class DecodedDocuments {
  readonly #options: DecodedDocumentsOptions;
  readonly #expected = new Map<string, Shared>();

  constructor(options: DecodedDocumentsOptions) {
    this.#options = options;
  }

  /** Takes what the fill of an entry has decoded anyway. @param digest of the stored body */
  expect(digest: string, decoded: Decoded): void {
    if (this.#expected.has(digest)) {
      // The same bytes under another name: one of them will do.
      if (decoded.isOwn) free(decoded.bytes);
      return;
    }
    const shared: Shared = { decoded, users: 0 };
    this.#expected.set(digest, shared);
    shared.cancelForget = this.#options.clock.after(KEEP_DECODED_MS, () => this.#forget(digest, shared));
  }

  /** What was just fetched goes out as it came. */
  expectNobody(digest: string): void {
    const shared = this.#expected.get(digest);
    if (shared?.users === 0) this.#forget(digest, shared);
  }

  /**
   * The document of a stored body, to be given back.
   * @throws as `decodeBody` and `DocumentKind.scan`
   */
  async borrow({ digest, coding, name }: Entry, stored: Buffer): Promise<Lent> {
    const expected = this.#expected.get(digest);
    if (expected !== undefined) return this.#lend(digest, expected);
    const bytes = await decodeBody(stored, coding, this.#options.maxDocumentBytes);
    const scanned = await kindOf(name).scan(bytes);
    return this.#lend(digest, { decoded: { bytes, scanned, isOwn: bytes !== stored }, users: 0 });
  }

  #lend(digest: string, shared: Shared): Lent {
    shared.users++;
    return {
      ...shared.decoded,
      giveBack: () => {
        shared.users--;
        this.#forget(digest, shared);
      },
    };
  }

  /** All that wait for one that was fetched begin in the same turn: nobody else is expected. */
  #forget(digest: string, shared: Shared): void {
    shared.cancelForget?.();
    if (this.#expected.get(digest) === shared) this.#expected.delete(digest);
    if (shared.users === 0 && shared.decoded.isOwn) free(shared.decoded.bytes);
  }
}
