import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hashPath, someBytes } from "../files/file-cache.ts";
import { fetchRaw, type Received } from "../support/client.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const PROJECTS = 300;
const FILES = 60;
const AT_ONCE = 48;
const CLOSE = { headers: { connection: "close" } };

let upstream: FakeUpstream;
let directory: string;
let larder: LarderProcess | undefined;
let paths: string[];

beforeEach(async () => {
  upstream = await startUpstream();
  directory = mkdtempSync(join(tmpdir(), "larder-test-"));
  // Most are small; each thirtieth is so large that it is written in slices.
  for (let i = 0; i < PROJECTS; i += 1) {
    const description = someBytes(i % 30 === 0 ? 1_500_000 : 6_000).toString("base64");
    upstream.project(`p${i}`, { serial: i + 1, description });
  }
  const files = Array.from({ length: FILES }, (_, i) => someBytes(20_000 + 5_000 * i, i));
  const filePaths = await Promise.all(files.map((bytes) => hashPath(bytes)));
  for (const [i, path] of filePaths.entries()) upstream.file(path, files[i]!);
  const documents = Array.from({ length: PROJECTS }, (_, i) => `/pypi/p${i}/json`);
  paths = documents.flatMap((path, i) => (i < FILES ? [path, filePaths[i]!] : [path]));
});

afterEach(async () => {
  await larder?.end("SIGKILL");
  larder = undefined;
  await upstream.close();
  // Orphans may be closing their files still.
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

async function start(): Promise<LarderProcess> {
  larder = await startProcess({
    LARDER_UPSTREAM: upstream.url,
    LARDER_FILES_UPSTREAM: upstream.url,
    LARDER_DATA: directory,
    LARDER_WORKERS: "4",
    LARDER_UPSTREAM_CONNECTIONS: "64",
    LARDER_FILES: "upstream",
  });
  return larder;
}

/** As a client that tries again where its connection breaks: each of the workers that are killed may be its own. */
async function fetchAgain(url: string, path: string, left = 4): Promise<Received> {
  try {
    return await fetchRaw(url, path, CLOSE);
  } catch (error) {
    if (left === 0) throw error;
    return await fetchAgain(url, path, left - 1);
  }
}

/** Asks for all of them, many at once. */
async function fetchAll(
  url: string,
  onAnswer: (done: number) => void = () => undefined,
): Promise<Received[]> {
  const answers: Received[] = [];
  const left = [...paths.entries()];
  const ask = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [i, path] = next;
      answers[i] = await fetchAgain(url, path);
      onAnswer(PROJECTS + FILES - left.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  return answers;
}

const troubles = ({ log }: LarderProcess): readonly unknown[] =>
  log()
    .filter(({ level }) => level === "warn" || level === "error")
    .map(({ msg, what, err }) => [msg, what, err]);

/** A file that a killed worker was fetching is gone on with by another, and that is told, too. */
const isOfKilled = (trouble: unknown): boolean =>
  /"a worker was lost|bytes were left by another larder"/.test(JSON.stringify(trouble));

async function sample(url: string, name: string): Promise<number> {
  const text = (await fetchRaw(url, "/metrics", CLOSE)).body.toString();
  return Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1),
  );
}

/** Everything is held: asked of another larder, with upstream gone. */
async function expectAllHeld(answers: readonly Received[]): Promise<void> {
  await larder?.end("SIGTERM");
  await upstream.down();
  const again = await fetchAll((await start()).url);
  for (const [i, answer] of again.entries()) {
    expect([paths[i], answer.status, answer.cacheStatus.split(";")[1]]).toEqual([paths[i], 200, " hit"]);
    expect(answer.body.equals(answers[i]!.body), paths[i]).toBe(true);
  }
}

describe("the store of four workers", () => {
  it("keeps all that they write at once, with no trouble told", async () => {
    const process_ = await start();
    const answers = await fetchAll(process_.url);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(troubles(process_)).toEqual([]);
    expect(await sample(process_.url, "larder_store_entries")).toBe(PROJECTS);
    expect(await sample(process_.url, "larder_files_entries")).toBe(FILES);
    await expectAllHeld(answers);
  });

  it("keeps it although some are killed in the middle of it", async () => {
    const process_ = await start();
    const kills = [60, 140, 220];
    const answers = await fetchAll(process_.url, (done) => {
      if (done !== kills[0]) return;
      kills.shift();
      process.kill(process_.workerPids()[0]!, "SIGKILL");
    });
    expect(kills).toEqual([]);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(troubles(process_).filter((trouble) => !isOfKilled(trouble))).toEqual([]);
    // What a killed worker had answered but not yet written is asked for again.
    await expect.poll(() => process_.workerPids()).toHaveLength(4);
    await fetchAll(process_.url);
    await expectAllHeld(answers);
  });
});
