import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Received } from "../support/client.ts";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const CORPUS = fileURLToPath(new URL("../../../shared/corpus/", import.meta.url));
const FILES = "https://files.pythonhosted.org";

/** A recorded document, and the path that it is served under: one project or release of its own for each. */
interface Recorded {
  readonly file: string;
  readonly path: string;
  readonly bytes: Buffer;
}

function recorded(): Recorded[] {
  return ["project-json", "release-json"].flatMap((folder) =>
    readdirSync(join(CORPUS, folder)).map((file) => {
      const [, project = "", version, digest = ""] = /^(.+?)(?:@(.+))?~([0-9a-f]{8})\.json$/.exec(file) ?? [];
      // Several recordings of one document are several projects, so that all of them are served.
      const name = `${project}-${digest}`;
      const path =
        version === undefined ? `/pypi/${name}/json` : `/pypi/${name}/${encodeURIComponent(version)}/json`;
      return { file, path, bytes: readFileSync(join(CORPUS, folder, file)) };
    }),
  );
}

/** What a tree-based rewriter would give: only the `url` of file entries, in `urls` and in `releases`. */
function rewritten(document: unknown, to: string): unknown {
  const copy = structuredClone(document) as {
    urls?: { url?: unknown }[];
    releases?: Record<string, { url?: unknown }[]>;
  };
  const entries = [...(copy.urls ?? []), ...Object.values(copy.releases ?? {}).flat()];
  for (const entry of entries) {
    if (typeof entry.url !== "string" || !entry.url.startsWith(`${FILES}/packages/`)) continue;
    entry.url = to + entry.url.slice(FILES.length);
  }
  return copy;
}

// Nothing may depend on the recordings being there: the other tests cover all of this on documents of their own.
describe.skipIf(!existsSync(CORPUS))(
  "every recorded document of PyPI (where the recordings are there)",
  () => {
    let upstream: FakeUpstream;
    const larders: TestLarder[] = [];
    const documents = existsSync(CORPUS) ? recorded() : [];

    beforeAll(async () => {
      upstream = await startUpstream();
      for (const { path, bytes } of documents) {
        const [, , project = "", version] = path.split("/");
        if (version === "json") upstream.project(project, { body: bytes });
        else upstream.release(project, decodeURIComponent(version ?? ""), { body: bytes });
      }
    });

    afterAll(async () => {
      for (const larder of larders) await larder.close();
      await upstream.close();
    });

    async function start(files: string): Promise<TestLarder> {
      const larder = await startLarder({
        upstream,
        env: { LARDER_FILES: files, LARDER_FILES_UPSTREAM: FILES, LARDER_LOG: "silent" },
      });
      larders.push(larder);
      return larder;
    }

    it("is there: 440 of them", () => {
      expect(documents).toHaveLength(440);
    });

    it.each(["identity", "gzip"])("comes through byte-identical, cold and warm, in %s", async (coding) => {
      const larder = await start("upstream");
      const asked = upstream.count(/json$/);
      for (const round of ["fwd=miss", "hit"]) {
        for (const { file, path, bytes } of documents) {
          const answer = await larder.get(path, { headers: { "accept-encoding": coding } });
          expect([answer.status, answer.decoded.equals(bytes)], file).toEqual([200, true]);
          expect(answer.cacheStatus, file).toContain(round);
        }
      }
      expect(upstream.count(/json$/) - asked).toBe(documents.length);
    });

    it("comes through with its file URLs rewritten, and nothing else, as a tree-based rewriter would", async () => {
      const mirror = `${upstream.url}/pypi`; // anything that answers is healthy
      const larder = await start(mirror);
      let urls = 0;
      for (const round of ["fwd=miss", "hit"]) {
        for (const { file, path, bytes } of documents) {
          const answer: Received = await larder.get(path, { headers: { "accept-encoding": "gzip" } });
          expect(answer.cacheStatus, file).toContain(round);
          expect(JSON.parse(answer.decoded.toString()), file).toEqual(
            rewritten(JSON.parse(bytes.toString()), mirror),
          );
          // Set back, it is the same bytes: order, white space, escapes, last newline and all.
          const text = answer.decoded.toString("latin1");
          urls += text.split(mirror).length - 1;
          expect(text.replaceAll(mirror, FILES) === bytes.toString("latin1"), file).toBe(true);
        }
      }
      expect(urls).toBeGreaterThan(20_000);
    });

    it("is all there after a restart with upstream gone", async () => {
      const first = await start("upstream");
      for (const { path } of documents) await first.get(path);
      await first.stop();
      const { clock, dataDirectory } = first;
      await upstream.down();
      const second = await startLarder({ upstream, clock, dataDirectory, env: { LARDER_LOG: "silent" } });
      larders.push(second);
      clock.advance(7 * 86_400_000);
      for (const { file, path, bytes } of documents) {
        const answer = await second.get(path);
        expect([answer.status, answer.body.equals(bytes)], file).toEqual([200, true]);
        expect(answer.cacheStatus, file).toMatch(/detail=(?:connect|breaker)/);
      }
      await upstream.up();
    });
  },
);
