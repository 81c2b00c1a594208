import { readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import type { BlobFacts } from "./source.ts";

/** What lies beside a file in the folder, so that any process that shares it can tell what the bytes are. */
export interface FactsFile extends BlobFacts {
  /** Canonical path of the file, for people and for whoever takes it in. */
  readonly path: string;
  /** Of the whole file. */
  readonly bytes: number;
  /** Where its bytes are while they come; undefined once it is whole. */
  readonly filling: Filling | undefined;
}

/** A part file, and by which lease it is written: what a dead process left says nothing to who follows a living one. */
export interface Filling {
  readonly token: number;
  /** The part file's name among the temporaries. */
  readonly part: string;
}

/** Ends the name of a facts file, which begins with that of the file it is about. */
export const FACTS = ".json";

/** Writes it so that nobody sees half of it. @param temporary a name of this process' own on the same file system */
export async function writeFacts(file: string, temporary: string, facts: FactsFile): Promise<void> {
  try {
    const { path, bytes, contentType, lastModified, date, filling } = facts;
    await writeFile(temporary, JSON.stringify({ path, bytes, contentType, lastModified, date, filling }));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** @returns undefined where there is none, or none that can be read as one */
export async function readFacts(file: string): Promise<FactsFile | undefined> {
  try {
    return decode(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (error instanceof SyntaxError || isNotThere(error)) return undefined;
    throw error;
  }
}

/** Removes it where it still tells of this part: another process may be filling the same file by now. */
export async function withdrawFacts(file: string, part: string): Promise<void> {
  const facts = await readFacts(file);
  if (facts?.filling?.part === part) await unlink(file);
}

/** Whether a file is simply not there (node:fs). */
export function isNotThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function decode(value: unknown): FactsFile | undefined {
  const { path, bytes, contentType, lastModified, date, filling } = fieldsOf(value);
  if (typeof path !== "string" || typeof contentType !== "string" || typeof date !== "string")
    return undefined;
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0) return undefined;
  const known = typeof lastModified === "string" ? lastModified : undefined;
  return { path, bytes, contentType, lastModified: known, date, filling: decodeFilling(filling) };
}

function decodeFilling(value: unknown): Filling | undefined {
  const { token, part } = fieldsOf(value);
  // A name, never a path: it is looked for among the temporaries and nowhere else.
  if (typeof token !== "number" || typeof part !== "string" || !/^[\w-]+\.part$/.test(part)) return undefined;
  return { token, part };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
