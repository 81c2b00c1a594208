import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isBusy } from "../sqlite/result-codes.ts";

const LOCK = ".lock";
const PART = ".part";

/** Names for half-written files, of which everybody can tell whether their writer is still alive. */
export interface Temporaries {
  /** A name that nobody else uses, in the same file system as the finished files. */
  newPath(): string;
  /** Removes what dead writers have left. @returns how many files that were */
  sweep(): Promise<number>;
  /** Lets others remove what is left. */
  close(): void;
}

/**
 * Takes a lock on a file whose name begins that of every temporary file. The lock is the kernel's and ends with the
 * process, by `kill -9` too; a process id would mean another process after a restart, and in another container. SQLite
 * is what Node has to take one with (an fcntl lock; nothing is ever written into the file).
 */
export function openTemporaries(directory: string): Temporaries {
  mkdirSync(directory, { recursive: true });
  const { id, lock } = takeLock(directory);
  let count = 0;
  return {
    newPath: () => join(directory, `${id}-${count++}${PART}`),
    sweep: () => sweep(directory, id),
    close: () => {
      lock.close();
      rmSync(join(directory, id + LOCK), { force: true });
    },
  };
}

function takeLock(directory: string): { readonly id: string; readonly lock: DatabaseSync } {
  for (;;) {
    const id = randomUUID();
    const file = join(directory, id + LOCK);
    const lock = tryLock(file);
    // Somebody's sweep may have come between the file's making and its locking.
    if (lock !== undefined && statSync(file, { throwIfNoEntry: false }) !== undefined) return { id, lock };
    lock?.close();
  }
}

/** @returns undefined when another holds it */
function tryLock(file: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
}

async function sweep(directory: string, own: string): Promise<number> {
  const names = await readdir(directory);
  const alive = new Set([own]);
  for (const name of names.filter((each) => each.endsWith(LOCK))) {
    const id = name.slice(0, -LOCK.length);
    if (id !== own && !removeIfDead(join(directory, name))) alive.add(id);
  }
  const left = names.filter((name) => name.endsWith(PART) && ![...alive].some((id) => name.startsWith(id)));
  for (const name of left) await rm(join(directory, name), { force: true });
  return left.length;
}

function removeIfDead(file: string): boolean {
  const lock = tryLock(file);
  if (lock === undefined) return false;
  // While the lock is held: nobody takes it for his own meanwhile. Another's sweep may have been first.
  rmSync(file, { force: true });
  lock.close();
  return true;
}
