import type { Clock, Ms } from "../clock.ts";
import type { BlobIndex } from "./blob-index.ts";
import type { Folder } from "./folder.ts";

export interface LookRoundOptions {
  readonly folder: Folder;
  readonly index: BlobIndex;
  readonly clock: Clock;
  /** Other machines put files here, whose indexes are not seen. */
  readonly isShared: boolean;
  readonly signal: AbortSignal;
}

// A file without a row or without facts may be one that is just being stored; none takes this long.
const ORPHAN_AFTER_MS: Ms = 3_600_000;

/**
 * Makes the index agree with the folder: takes in what others have stored (and all that there is, after an index was
 * lost), forgets what others have removed, and removes what dead processes left.
 *
 * @throws Error (node:fs, node:sqlite)
 */
export async function lookRound(options: LookRoundOptions): Promise<void> {
  await options.folder.temporaries.sweep();
  for (const directory of new Set([
    ...(await options.folder.directories()),
    ...options.index.directories(),
  ])) {
    if (options.signal.aborted) return;
    await lookInto(directory, options);
  }
}

async function lookInto(directory: string, options: LookRoundOptions): Promise<void> {
  const { folder, index, signal } = options;
  const { files, facts } = await folder.list(directory);
  const known = index.namesIn(directory);
  for (const name of new Set([...files, ...facts, ...known])) {
    if (signal.aborted) return;
    if (!files.has(name)) {
      if (known.has(name)) index.remove(name);
      if (facts.has(name)) await removeIfOld(name, options);
    } else if (known.has(name)) {
      if (!facts.has(name)) await tellWhatIsKnown(name, options);
    } else if (facts.has(name)) await takeIn(name, options);
    // Another machine may know of it, whose larder told nothing of its files yet.
    else if (!options.isShared) await removeIfOld(name, options);
  }
}

async function takeIn(name: string, { folder, index, clock }: LookRoundOptions): Promise<void> {
  const facts = await folder.facts(name);
  const usedAt = await folder.usedAt(name);
  if (facts !== undefined) index.put(name, facts.path, facts, usedAt ?? clock.now());
}

/** Of a file that was stored before there were facts. */
async function tellWhatIsKnown(name: string, { folder, index }: LookRoundOptions): Promise<void> {
  const row = index.get(name);
  if (row === undefined) return;
  await folder.tell(name, { ...row, filling: undefined });
  await folder.touch(name, row.usedAt);
}

async function removeIfOld(name: string, { folder, clock }: LookRoundOptions): Promise<void> {
  const at = (await folder.usedAt(name)) ?? (await folder.writtenAt(name));
  if (at !== undefined && clock.now() - at > ORPHAN_AFTER_MS) await folder.remove(name);
}
