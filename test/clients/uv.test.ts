import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { installedIn, installedInVenv } from "./site-packages.ts";
import { snippetOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

const PROJECT = `
[project]
name = "app"
version = "0"
requires-python = ">=3.8"
dependencies = ["demo[fast]", "Demo_2"]
`;

describe.skipIf(!isInstalled("uv"))("uv", () => {
  let locked: string | undefined;

  throughLarder(
    (scene) => {
      const env = () => ({ UV_DEFAULT_INDEX: scene.index });

      it("installs by `uv pip install`, an sdist and a wheel without metadata too", async () => {
        const { run, path } = workplace();
        const args = ["pip", "install", "--target", path("t"), "demo[fast]", "Demo_2", "bare"];
        await run("uv", args, { env: env() });
        const expected = { bare: "1.0", demo: "2.1", demo_2: "0.2", helper: "1.2", speedy: "1.0" };
        expect(installedIn(path("t"))).toEqual(expected);
      });

      it("locks with sizes, dates and larder's own URLs, the same in every round, and syncs from it", async () => {
        const { run, path, read, write } = workplace();
        write("pyproject.toml", PROJECT + snippetOf("uv", scene.base));
        await run("uv", ["lock"]);
        const lock = read("uv.lock");
        const { path: filePath, sha256, bytes } = scene.file("demo-2.1-py3-none-any.whl");
        expect(lock).toContain(
          `{ url = "${scene.base}${filePath}", hash = "sha256:${sha256}", size = ${bytes.length}, upload-time = "2026-06-02T03:04:05.678`,
        );
        locked ??= lock;
        expect(lock).toBe(locked);
        await run("uv", ["lock", "--check"]);
        await run("uv", ["sync", "--frozen", "--no-install-project"]);
        const expected = { demo: "2.1", demo_2: "0.2", helper: "1.2", speedy: "1.0" };
        expect(installedInVenv(path(".venv"))).toEqual(expected);
      });

      it("finds by --exclude-newer what there was on that day", async () => {
        const { run, path } = workplace();
        const args = [
          "pip",
          "install",
          "--exclude-newer",
          "2026-03-01T00:00:00Z",
          "--target",
          path("t"),
          "demo",
        ];
        await run("uv", args, { env: env() });
        expect(installedIn(path("t"))).toEqual({ demo: "2.0", helper: "1.2" });
      });

      it("runs a tool, and installs it", async () => {
        const { run } = workplace();
        const ran = await run("uv", ["tool", "run", "demo"], { env: env() });
        expect(ran.output).toMatch(/^demo 2\.1$/m);
        await run("uv", ["tool", "install", "demo==2.0"], { env: env() });
        const { output } = await run("uv", ["tool", "list"], { env: env() });
        expect(output).toContain("demo v2.0");
      });
    },
    { onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("reads a requirements file that names larder, and a uv.toml", async () => {
    const { run, path, write } = workplace();
    write("r.txt", `--index-url ${scene.index}\nhelper\n`);
    await run("uv", ["pip", "install", "--target", path("a"), "-r", "r.txt"]);
    write("uv.toml", `[[index]]\nurl = "${scene.index}"\ndefault = true\n`);
    await run("uv", ["pip", "install", "--target", path("b"), "helper"]);
    for (const name of ["a", "b"]) expect(installedIn(path(name))).toEqual({ helper: "1.2" });
  });
}
