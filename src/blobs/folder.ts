import { createHash, randomUUID } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { EpochMs } from "../clock.ts";
import { FACTS, type FactsFile, isNotThere, readFacts, withdrawFacts, writeFacts } from "./facts-file.ts";
import { openTemporaries, type Temporaries } from "./temporaries.ts";

/** Which file: immutable, and named by its own hash. */
export interface BlobKey {
  /** Canonical path, the cache key. */
  readonly path: string;
  /** Hex, 64 digits; a part of the path. */
  readonly blake2b256: string;
}

/** The file's name below the folder. Of the path only a hash: it may be longer than a file system's names. */
export function nameOf({ path, blake2b256 }: BlobKey): string {
  const which = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return `${blake2b256.slice(0, 2)}/${blake2b256.slice(2)}-${which}`;
}

/** What lies in one directory of the folder. */
export interface Listing {
  /** Names of files, without those of the facts beside them. */
  readonly files: ReadonlySet<string>;
  /** Names of the files that there are facts of. */
  readonly facts: ReadonlySet<string>;
}

/**
 * The folder of the finished files, which several processes and machines may share. A file is there under its name when
 * it is whole and proved, and what it is stands beside it: so the folder is the truth, whoever wrote into it. When a
 * file was last used is told by the time of the facts, which whoever reads it moves on now and then.
 */
export class Folder {
  readonly temporaries: Temporaries;
  /** The same for all who share the folder, and for nobody else. */
  readonly id: string;
  readonly #path: string;

  /** @throws Error (node:fs, node:sqlite) when it cannot be used */
  constructor(path: string) {
    this.#path = path;
    mkdirSync(path, { recursive: true });
    this.temporaries = openTemporaries(join(path, TEMPORARIES));
    this.id = identify(join(path, "folder-id"), this.temporaries.newPath());
  }

  /** @returns undefined where there is no such file */
  async open(name: string): Promise<FileHandle | undefined> {
    return await ifThere(open(this.#fileOf(name)));
  }

  /** The part file of a fill that is under way. */
  async openPart(part: string): Promise<FileHandle | undefined> {
    return await ifThere(open(join(this.#path, TEMPORARIES, part)));
  }

  /** A new part file, open for reading and writing. Somebody may have cleared the folder. */
  async createPart(path: string): Promise<FileHandle> {
    await mkdir(dirname(path), { recursive: true });
    return await open(path, "wx+");
  }

  async removePart(path: string): Promise<void> {
    await ifThere(unlink(path));
  }

  async facts(name: string): Promise<FactsFile | undefined> {
    return await readFacts(this.#fileOf(name) + FACTS);
  }

  async tell(name: string, facts: FactsFile): Promise<void> {
    const file = this.#fileOf(name);
    await mkdir(dirname(file), { recursive: true });
    await writeFacts(file + FACTS, this.temporaries.newPath(), facts);
  }

  /** Takes back what was told of a part that came to nothing. */
  async withdraw(name: string, part: string): Promise<void> {
    await withdrawFacts(this.#fileOf(name) + FACTS, part);
  }

  /** Makes a part visible as the file. The facts first: who sees the file must be able to tell what it is. */
  async finish(name: string, part: string, facts: FactsFile): Promise<void> {
    await this.tell(name, facts);
    await rename(part, this.#fileOf(name));
  }

  /** Tells all who share the folder that the file is in use. */
  async touch(name: string, at: EpochMs): Promise<void> {
    await ifThere(utimes(this.#fileOf(name) + FACTS, new Date(at), new Date(at)));
  }

  /** When the file was last used, as far as anybody has told. */
  async usedAt(name: string): Promise<EpochMs | undefined> {
    return (await ifThere(stat(this.#fileOf(name) + FACTS)))?.mtimeMs;
  }

  /** Which file of this name lies there. */
  async inode(name: string): Promise<number | undefined> {
    return (await ifThere(stat(this.#fileOf(name))))?.ino;
  }

  /** When the file itself was written. */
  async writtenAt(name: string): Promise<EpochMs | undefined> {
    return (await ifThere(stat(this.#fileOf(name))))?.mtimeMs;
  }

  /** Removes a file, and after it what was told of it. */
  async remove(name: string): Promise<void> {
    await ifThere(unlink(this.#fileOf(name)));
    await ifThere(unlink(this.#fileOf(name) + FACTS));
  }

  /** The directories that files lie in. */
  async directories(): Promise<string[]> {
    return (await readdir(this.#path)).filter((name) => /^[0-9a-f]{2}$/.test(name));
  }

  async list(directory: string): Promise<Listing> {
    const files = new Set<string>();
    const facts = new Set<string>();
    for (const each of (await ifThere(readdir(join(this.#path, directory)))) ?? []) {
      const name = `${directory}/${each}`;
      if (each.endsWith(FACTS)) facts.add(name.slice(0, -FACTS.length));
      else files.add(name);
    }
    return { files, facts };
  }

  #fileOf(name: string): string {
    return join(this.#path, name);
  }
}

const TEMPORARIES = "tmp";

/** Whoever comes first names the folder. Linked, since a name that is just being written could be read as half of it. */
function identify(file: string, temporary: string): string {
  // On a full disk, too.
  if (existsSync(file)) return readFileSync(file, "utf8");
  writeFileSync(temporary, randomUUID());
  try {
    linkSync(temporary, file);
  } catch (error) {
    const isNamed = error instanceof Error && "code" in error && error.code === "EEXIST";
    if (!isNamed && !existsSync(file)) renameSync(temporary, file); // a file system without links
  } finally {
    rmSync(temporary, { force: true });
  }
  return readFileSync(file, "utf8");
}

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isNotThere(error)) return undefined;
    throw error;
  }
}
