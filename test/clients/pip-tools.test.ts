import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { installedInVenv } from "./site-packages.ts";
import { commandsOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

describe.skipIf(!isInstalled("pip-tools"))("pip-tools", () => {
  let compiled: string | undefined;

  throughLarder(
    (scene) => {
      it("compiles with the hash of every file, the same in every round, and downloads none of them", async () => {
        const { run, read, write } = workplace();
        write("requirements.in", "demo\nDemo_2\n");
        const before = scene.upstream.count(/\.(whl|tar\.gz)$/);
        for (const { program, args } of commandsOf("pip-tools", scene.base)) {
          await run("pip-tools", args, { program });
        }
        const text = read("requirements.txt");
        for (const file of ["demo-2.1-py3-none-any.whl", "demo-2.1.tar.gz", "helper-1.2.tar.gz"]) {
          expect(text).toContain(`--hash=sha256:${scene.file(file).sha256}`);
        }
        expect(scene.upstream.count(/\.(whl|tar\.gz)$/) - before).toBe(0);
        compiled ??= text;
        expect(text).toBe(compiled);
      });
    },
    { onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("syncs an environment from what it compiled", async () => {
    const { run, path, write } = workplace();
    const pin = (name: string, version: string) =>
      `${name}==${version} --hash=sha256:${scene.file(`${name}-${version}-py3-none-any.whl`).sha256}\n`;
    write("r.txt", pin("demo", "2.1") + pin("helper", "1.2"));
    await run("pip-tools", ["-m", "venv", path("venv")], { program: "python" });
    const args = ["--python-executable", path("venv", "bin", "python"), "r.txt"];
    await run("pip-tools", args, { program: "pip-sync", env: { PIP_INDEX_URL: scene.index } });
    expect(installedInVenv(path("venv"))).toEqual({ demo: "2.1", helper: "1.2" });
  });
}
