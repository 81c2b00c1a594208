import type { FileHandle } from "node:fs/promises";
import { BoundedMap } from "../bounded-map.ts";
import { createBlake2b256 } from "./blake2b.ts";
import { copyFile } from "./copy.ts";
import type { Users } from "./users.ts";
import { wrongBytes } from "./wrong-bytes.ts";

/** A finished file, open. */
export interface OpenFile {
  /** Its name on disk. */
  readonly name: string;
  /** What its bytes have to hash to: hex, 64 digits. */
  readonly blake2b256: string;
  readonly bytes: number;
  readonly handle: FileHandle;
  /** Of the handle. */
  readonly users: Users;
}

export interface ProofsOptions {
  /** A file is not what it was when it was stored, or cannot be read. Never rejects. */
  readonly onWrong: (file: OpenFile, error: unknown) => Promise<void>;
  /** There is no memory for the hash, or the like: nothing is known of the file. */
  readonly onUnproved: (file: OpenFile, error: unknown) => void;
  /** Ends those under way. */
  readonly signal: AbortSignal;
}

// Some 100 bytes each. Those beyond are proved again.
const MOST_PROVED = 20_000;

/**
 * The files that this process knows to be what their names say, and the proofs under way. A disk may give other bytes than
 * it was given: after a power cut a file can have its length, and zeros where its last pages were. So each is read and
 * hashed once (600 MB/s) by every process that gives it out, which is not every time.
 */
export class Proofs {
  readonly #options: ProofsOptions;
  readonly #proved = new BoundedMap<string, true>(MOST_PROVED);
  readonly #underWay = new Map<string, Promise<boolean>>();

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

  /** @returns undefined where it is proved; else the proof, begun or joined, which never rejects: whether it is right */
  of(file: OpenFile): Promise<boolean> | undefined {
    const { name } = file;
    if (this.#proved.has(name)) return undefined;
    let proof = this.#underWay.get(name);
    if (proof === undefined) {
      proof = this.#prove(file).finally(() => this.#underWay.delete(name));
      this.#underWay.set(name, proof);
    }
    return proof;
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay.values());
  }

  async #prove(file: OpenFile): Promise<boolean> {
    const { signal, onWrong, onUnproved } = this.#options;
    const leave = file.users.enter();
    let isRead = false;
    try {
      const hash = await createBlake2b256();
      isRead = true;
      await copyFile(file.handle, 0, file.bytes, (piece) => {
        signal.throwIfAborted();
        hash.update(piece);
        return Promise.resolve();
      });
      if (hash.digest() !== file.blake2b256) throw wrongBytes();
      this.note(file.name);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      if (isRead) await onWrong(file, error);
      else onUnproved(file, error);
      return false;
    } finally {
      leave();
    }
  }
}
