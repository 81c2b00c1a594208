import { describe, expect, it } from "vitest";
import { isInstalled, programOf } from "./catalogue.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { installedInVenv } from "./site-packages.ts";
import { snippetOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

const PROJECT = `
[project]
name = "app"
version = "0"
requires-python = ">=3.8"
dependencies = ["demo[fast]", "Demo_2", "bare"]

[tool.pdm]
distribution = false
`;

const env = { PDM_CHECK_UPDATE: "0", PDM_IGNORE_ACTIVE_VENV: "1", PDM_NON_INTERACTIVE: "1" };

const INSTALLED = { bare: "1.0", demo: "2.1", demo_2: "0.2", helper: "1.2", speedy: "1.0" };

describe.skipIf(!isInstalled("pdm"))("pdm", () => {
  let locked: string | undefined;

  throughLarder(
    (scene) => {
      it("locks from larder as its source, the same in every round, and syncs from the lock", async () => {
        const { run, path, read, write } = workplace();
        write("pyproject.toml", PROJECT + snippetOf("pdm", scene.base));
        write(".pdm-python", programOf("pdm", "python"));
        await run("pdm", ["lock"], { env });
        const lock = read("pdm.lock");
        expect(lock).toContain(`sha256:${scene.file("demo-2.1-py3-none-any.whl").sha256}`);
        locked ??= lock;
        expect(lock).toBe(locked);
        await run("pdm", ["venv", "create", "--with", "venv", programOf("pdm", "python")], { env });
        write(".pdm-python", path(".venv", "bin", "python"));
        await run("pdm", ["sync"], { env });
        expect(installedInVenv(path(".venv"))).toEqual(INSTALLED);
      });
    },
    { onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("locks from larder by PDM_PYPI_URL, and by `pdm config`", async () => {
    for (const isConfigured of [false, true]) {
      const { run, read, write } = workplace();
      write("pyproject.toml", PROJECT);
      write(".pdm-python", programOf("pdm", "python"));
      if (isConfigured) await run("pdm", ["config", "pypi.url", scene.index], { env });
      const url: Record<string, string> = isConfigured ? {} : { PDM_PYPI_URL: scene.index };
      await run("pdm", ["lock"], { env: { ...env, ...url } });
      expect(read("pdm.lock")).toContain(`sha256:${scene.file("demo-2.1-py3-none-any.whl").sha256}`);
    }
  });
}
