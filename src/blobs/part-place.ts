import type { FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import type { UpstreamUnavailable } from "../errors.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { BlobIndex, IndexRow } from "./blob-index.ts";
import { isNotThere } from "./facts-file.ts";
import type { FillPlace } from "./fill.ts";
import { type BlobKey, type Folder, nameOf } from "./folder.ts";
import type { Room } from "./room.ts";
import type { BlobFacts } from "./source.ts";

export interface PartPlaceOptions {
  readonly key: BlobKey;
  /** Of the lease that the fill is led by: others then look for what it writes. Undefined where it goes alone. */
  readonly token: number | undefined;
  readonly folder: Folder;
  readonly index: BlobIndex;
  readonly room: Room;
  readonly onSurvived: OnSurvived;
  /** The fill is over for all who come now: before anybody hears of it. */
  readonly onOver: () => void;
  readonly onResumed: () => void;
}

// How often a fill has room made for what has come of it.
const ROOM_STEP_BYTES = 1024 * 1024;

/** Where a fill writes: a part file in the folder, which becomes the file, and of which others are told. */
export class PartPlace implements FillPlace {
  readonly #options: PartPlaceOptions;
  readonly #name: string;
  readonly #part: string;
  #isCreated = false;
  #reservedBytes = 0;
  #takenBytes = 0;
  #told: Promise<void> | undefined;

  constructor(options: PartPlaceOptions) {
    this.#options = options;
    this.#name = nameOf(options.key);
    this.#part = options.folder.temporaries.newPath();
  }

  admit(bytes = 0): boolean {
    if (this.#options.room.reserve(bytes)) {
      this.#reservedBytes = bytes;
      return true;
    }
    this.#survive("files: too large for the budget", new Error(`${bytes} bytes`));
    return false;
  }

  async create(facts: BlobFacts, bytes: number | undefined): Promise<FileHandle> {
    const { folder, token } = this.#options;
    const handle = await folder.createPart(this.#part);
    this.#isCreated = true;
    // Who cannot tell how much will come cannot announce it to a client either.
    if (bytes !== undefined && token !== undefined) this.#told = this.#tell(facts, bytes, token);
    return handle;
  }

  async grow(bytes: number): Promise<void> {
    const more = bytes - this.#takenBytes;
    if (more < ROOM_STEP_BYTES) return;
    this.#takenBytes += more;
    await this.#options.room.take(more);
  }

  async commit(facts: BlobFacts, bytes: number): Promise<boolean> {
    await this.#told;
    const isStored = await this.#store({ ...facts, bytes });
    this.#over();
    // Its last bytes have not been reckoned with, nor other processes' fills.
    await this.#options.room.make();
    return isStored;
  }

  async discard(): Promise<void> {
    const { folder } = this.#options;
    this.#over();
    if (!this.#isCreated) return;
    try {
      await this.#told;
      if (this.#told !== undefined) await folder.withdraw(this.#name, basename(this.#part));
    } catch (error) {
      if (!isNotThere(error)) this.#survive("files: unlink", error);
    }
    try {
      await folder.removePart(this.#part);
    } catch (error) {
      this.#survive("files: unlink", error);
    }
  }

  onUnwritable(error: unknown): void {
    this.#survive("files: disk write", error);
  }

  onBroken(startAt: number, error: UpstreamUnavailable): void {
    const { onSurvived, key, onResumed } = this.#options;
    onSurvived("files: download broken", `${key.path} at ${startAt}`, error);
    onResumed();
  }

  /**
   * The row first: a process that dies in between leaves a row without bytes, which is a miss, and not bytes without
   * a row, which nobody would count or evict. Another process may take the row away as a miss meanwhile: once more.
   */
  async #store(row: IndexRow): Promise<boolean> {
    const { index, folder, key } = this.#options;
    try {
      index.put(this.#name, key.path, row);
      await folder.finish(this.#name, this.#part, { ...row, path: key.path, filling: undefined });
      index.put(this.#name, key.path, row);
      return true;
    } catch (error) {
      this.#survive("files: commit", error);
      return false;
    }
  }

  async #tell(facts: BlobFacts, bytes: number, token: number): Promise<void> {
    const { folder, key } = this.#options;
    try {
      const filling = { token, part: basename(this.#part) };
      await folder.tell(this.#name, { ...facts, path: key.path, bytes, filling });
    } catch (error) {
      this.#survive("files: tell of a fill", error);
    }
  }

  #over(): void {
    this.#options.room.free(this.#reservedBytes, this.#takenBytes);
    this.#reservedBytes = this.#takenBytes = 0;
    this.#options.onOver();
  }

  #survive(what: string, error: unknown): void {
    this.#options.onSurvived(what, this.#options.key.path, error);
  }
}
