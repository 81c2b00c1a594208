import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { asTheRegistry } from "./registry-name.ts";
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

[tool.poetry]
package-mode = false
`;

const env = { POETRY_VIRTUALENVS_IN_PROJECT: "true", POETRY_NO_INTERACTION: "1" };

const INSTALLED = { bare: "1.0", demo: "2.1", demo_2: "0.2", helper: "1.2", speedy: "1.0" };

describe.skipIf(!isInstalled("poetry"))("poetry", () => {
  let locked: string | undefined;

  throughLarder(
    (scene) => {
      it("locks from larder as a source, the same in every round, and installs from the lock", async () => {
        const { run, path, read, write } = workplace();
        write("pyproject.toml", PROJECT + snippetOf("poetry", scene.base));
        await run("poetry", ["lock"], { env });
        const lock = read("poetry.lock");
        expect(lock).toContain(`sha256:${scene.file("demo-2.1-py3-none-any.whl").sha256}`);
        locked ??= lock;
        expect(lock).toBe(locked);
        await run("poetry", ["install"], { env });
        expect(installedInVenv(path(".venv"))).toEqual(INSTALLED);
      });

      it("locks and installs by its implicit source, where the registry's name leads to larder", async () => {
        const place = workplace();
        place.write("pyproject.toml", PROJECT);
        await asTheRegistry(place, scene.base, async (front) => {
          await place.run("poetry", ["lock"], { env: { ...env, ...front } });
          const lock = place.read("poetry.lock");
          expect(lock).toContain(`sha256:${scene.file("demo-2.1-py3-none-any.whl").sha256}`);
          expect(lock).not.toContain("127.0.0.1");
          await place.run("poetry", ["install"], { env: { ...env, ...front } });
        });
        expect(installedInVenv(place.path(".venv"))).toEqual(INSTALLED);
      });
    },
    { onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("locks through its mirror plugin, in a project that knows nothing of larder", async () => {
    const { run, read, write } = workplace();
    write("pyproject.toml", PROJECT);
    await run("poetry", ["lock"], { env: { ...env, POETRY_PYPI_MIRROR_URL: scene.index } });
    expect(read("poetry.lock")).toContain(`sha256:${scene.file("demo-2.1-py3-none-any.whl").sha256}`);
  });
}
