import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { snippetOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

describe.skipIf(!isInstalled("renovate"))("renovate", () => {
  throughLarder(
    (scene) => {
      it("finds a newer release, with its age, by the Simple API", async () => {
        const found = await lookUp({ config: snippetOf("renovate", scene.base) });
        expect(found).toMatch(/"newVersion": "2\.1"/);
        expect(found).toContain('"releaseTimestamp": "2026-06-02T03:04:05.678Z"');
        expect(found).toContain(`"registryUrl": "${scene.base}/simple"`);
      });
    },
    { onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("finds a newer release, with its age, by the JSON API", async () => {
    const found = await lookUp({ config: configFor(`${scene.base}/pypi/`) });
    expect(found).toMatch(/"newVersion": "2\.1"/);
    expect(found).toContain('"releaseTimestamp": "2026-06-02T03:04:05.000Z"');
    expect(found).toContain(`"registryUrl": "${scene.base}/pypi"`);
  });

  it("is led to larder by PIP_INDEX_URL", async () => {
    const found = await lookUp({ env: { PIP_INDEX_URL: scene.index } });
    expect(found).toMatch(/"newVersion": "2\.1"/);
  });
}

function configFor(registryUrl: string): string {
  return JSON.stringify({ packageRules: [{ matchDatasources: ["pypi"], registryUrls: [registryUrl] }] });
}

/** The whole of renovate, on a folder instead of a repository. @returns its log, with what it found */
async function lookUp(given: { config?: string; env?: Record<string, string> }): Promise<string> {
  const { run, path, write } = workplace();
  write("requirements.txt", "demo==2.0\n");
  if (given.config !== undefined) write("renovate.json", given.config);
  const env = { LOG_LEVEL: "debug", RENOVATE_BASE_DIR: path("base"), ...given.env };
  // It ends with 1 on a Node that is not among its own; what it found is the proof.
  const { output } = await run("renovate", ["--platform=local", "--dry-run=lookup"], { env, code: "any" });
  return output;
}
