import type { FileHandle } from "node:fs/promises";
import { BoundedMap } from "../bounded-map.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { createBlake2b256 } from "./blake2b.ts";
import { copyFile } from "./copy.ts";
import { Lane } from "./lane.ts";
import type { Users } from "./users.ts";
import { wrongBytes } from "./wrong-bytes.ts";

/** What a proof came to. `unknown`: it could not be made, which says nothing of the file. */
export type Proof = "right" | "wrong" | "unknown";

/** A finished file, open. */
export interface OpenFile {
  /** Its name on disk. */
  readonly name: string;
  /** Which one of that name: another process may have stored it anew. */
  readonly inode: number;
  /** What its bytes have to hash to: hex, 64 digits. */
  readonly blake2b256: string;
  readonly bytes: number;
  readonly handle: FileHandle;
  /** Of the handle. */
  readonly users: Users;
}

export interface ProofsOptions {
  /** A file is not what it was when it was stored, or the disk cannot read it. Never rejects. */
  readonly onWrong: (file: OpenFile, error: unknown) => Promise<void>;
  /** No memory for the hash, a network folder that is away for a moment, or the like. */
  readonly onUnknown: (file: OpenFile, error: unknown) => void;
  /** Ends those under way. */
  readonly signal: AbortSignal;
}

/**
 * What is no longer is proved before any of it is given, some 30 ms where it is in the page cache: where it is wrong it is
 * simply a miss. Of a longer one the last byte is held back until it is proved.
 */
export const PROVED_FIRST_BYTES = 16 * 1024 * 1024;

// Some 100 bytes each. Those beyond are proved again.
const MOST_PROVED = 20_000;

// Of those that somebody waits for; one of large ones. More at once would all end as late as the last.
const SMALL_AT_ONCE = 2;

/**
 * The files that this process knows to be what their names say, and the proofs under way. A disk may give other bytes than
 * it was given: after a power cut a file can have its length, and zeros where its last pages were. So each is read and
 * hashed once (600 MB/s) by every process that gives it out, which is not every time.
 */
export class Proofs {
  readonly #options: ProofsOptions;
  readonly #proved = new BoundedMap<string, true>(MOST_PROVED);
  readonly #underWay = new Map<string, Promise<Proof>>();
  readonly #small = new Lane(SMALL_AT_ONCE);
  readonly #large = new Lane(1);

  constructor(options: ProofsOptions) {
    this.#options = options;
  }

  /** This process has hashed the file as it came. */
  note(name: string): void {
    this.#proved.set(name, true);
  }

  /** The file is gone. */
  forget(name: string): void {
    this.#proved.delete(name);
  }

  /** Whether it is proved. */
  has(name: string): boolean {
    return this.#proved.has(name);
  }

  /** The proof of a file, begun or joined. Never rejects. */
  of(file: OpenFile): Promise<Proof> {
    const key = `${file.name} ${file.inode}`;
    let proof = this.#underWay.get(key);
    if (proof === undefined) {
      const leave = file.users.enter();
      const lane = file.bytes <= PROVED_FIRST_BYTES ? this.#small : this.#large;
      proof = lane
        .run(() => this.#prove(file))
        .finally(() => {
          leave();
          this.#underWay.delete(key);
        });
      this.#underWay.set(key, proof);
    }
    return proof;
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay.values());
  }

  async #prove(file: OpenFile): Promise<Proof> {
    const { signal, onWrong, onUnknown } = this.#options;
    try {
      signal.throwIfAborted();
      const hash = await createBlake2b256();
      await copyFile(file.handle, 0, file.bytes, (piece) => {
        signal.throwIfAborted();
        hash.update(piece);
        return Promise.resolve();
      });
      if (hash.digest() !== file.blake2b256) throw wrongBytes();
      this.note(file.name);
      return "right";
    } catch (error) {
      if (signal.aborted) return "unknown";
      if (isOfTheFile(error)) {
        await onWrong(file, error);
        return "wrong";
      }
      onUnknown(file, error);
      return "unknown";
    }
  }
}

/** Other bytes, or a disk that has lost them; not whatever else keeps a file from being read just now. */
function isOfTheFile(error: unknown): boolean {
  if (error instanceof UpstreamUnavailable) return true;
  return error instanceof Error && "code" in error && error.code === "EIO";
}
