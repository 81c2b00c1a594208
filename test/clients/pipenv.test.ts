import { describe, expect, it } from "vitest";
import { isInstalled, programOf } from "./catalogue.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { installedInVenv } from "./site-packages.ts";
import { snippetOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

const PACKAGES = `
[packages]
demo = {version = "*", extras = ["fast"]}
Demo_2 = "*"
`;

const env = {
  PIPENV_VENV_IN_PROJECT: "1",
  PIPENV_IGNORE_VIRTUALENVS: "1",
  PIPENV_NOSPIN: "1",
  PIPENV_YES: "1",
  PIPENV_DEFAULT_PYTHON_VERSION: programOf("pipenv", "python"),
};

const PYPI = `
[[source]]
name = "pypi"
url = "https://pypi.org/simple/"
verify_ssl = true
`;

const INSTALLED = { demo: "2.1", demo_2: "0.2", helper: "1.2", speedy: "1.0" };

describe.skipIf(!isInstalled("pipenv"))("pipenv", () => {
  throughLarder(
    (scene) => {
      it("locks from larder as its source with the hash of each file, and syncs from the lock", async () => {
        const { run, path, read, write } = workplace();
        write("Pipfile", snippetOf("pipenv", scene.base) + PACKAGES);
        await run("pipenv", ["lock"], { env });
        const lock = read("Pipfile.lock");
        for (const file of ["demo-2.1-py3-none-any.whl", "demo-2.1.tar.gz", "speedy-1.0.tar.gz"]) {
          expect(lock).toContain(`sha256:${scene.file(file).sha256}`);
        }
        await run("pipenv", ["sync"], { env });
        expect(installedInVenv(path(".venv"))).toEqual(INSTALLED);
      });
    },
    { onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("locks through PIPENV_PYPI_MIRROR, also where the source's URL ends in a slash", async () => {
    const { run, read, write } = workplace();
    write("Pipfile", PYPI + PACKAGES);
    await run("pipenv", ["lock"], { env: { ...env, PIPENV_PYPI_MIRROR: scene.index } });
    expect(read("Pipfile.lock")).toContain(`sha256:${scene.file("demo-2.1.tar.gz").sha256}`);
  });
}
