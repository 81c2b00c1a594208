import { createHash } from "node:crypto";
import { join } from "node:path";
import { systemClock } from "../src/clock.ts";
import { openEmbeddedStore } from "../src/store/embedded.ts";
import { fetchRaw } from "../test/support/client.ts";
import { projectDocument } from "../test/support/upstream/documents.ts";
import { startLarder } from "./servers/larder.ts";
import { type Spread, spreadOf } from "./statistics.ts";

/** From the start of the process to its first answer. */
export interface StartUp {
  readonly entries: number;
  /** `/readyz`, with nothing in the store. */
  readonly emptyMs: Spread;
  /** A document out of the full store, without upstream. */
  readonly fullMs: Spread;
}

const OFFLINE = { env: { LARDER_OFFLINE: "1", LARDER_FILES: "upstream" } };

/** Fills a store, and starts larder with it and without, in turn. */
export async function measureStartUp(directory: string, entries: number, tries: number): Promise<StartUp> {
  const full = join(directory, "full");
  await fill(join(full, "data", "larder.sqlite"), entries);
  const [emptyMs, fullMs]: [number[], number[]] = [[], []];
  for (let i = 0; i < tries; i++) {
    emptyMs.push(await timeToAnswer(join(directory, `empty-${i}`), "/readyz"));
    fullMs.push(await timeToAnswer(full, `/pypi/held-${entries - 1 - i}/json`));
  }
  return { entries, emptyMs: spreadOf(emptyMs), fullMs: spreadOf(fullMs) };
}

async function timeToAnswer(directory: string, path: string): Promise<number> {
  const startedAt = performance.now();
  const larder = await startLarder({ origin: "http://127.0.0.1:9", directory }, OFFLINE);
  const { status } = await fetchRaw(larder.url, path);
  const tookMs = performance.now() - startedAt;
  await larder.stop();
  if (status !== 200) throw new Error(`${path} after the start: ${status}`);
  return tookMs;
}

async function fill(file: string, entries: number): Promise<void> {
  const onSurvived = (what: string, key: string, error: unknown): never => {
    throw new Error(`${what} ${key}`, { cause: error });
  };
  const store = openEmbeddedStore({ file, maxBytes: 2 ** 31, clock: systemClock, onSurvived });
  const at = Date.now();
  for (let i = 0; i < entries; i++) {
    const group = `held-${i}`;
    const body = projectDocument({ name: group, serial: i + 1, releases: [] });
    const head = { generation: i + 1, advancedAt: at, confirmedAt: at, invalidatedAt: 0, lowerSince: 0 };
    const entry = {
      group,
      name: "json",
      generation: i + 1,
      status: 200,
      fetchedAt: at,
      confirmedAt: at,
      etag: undefined,
      date: new Date(at).toUTCString(),
      contentType: "application/json",
      coding: "identity",
      digest: createHash("sha256").update(body).digest("hex"),
      bytes: body.length,
      aliasOf: undefined,
      fence: 0,
    } as const;
    await store.write({ group, head, basis: 0, entry, body });
  }
  await store.close();
}
