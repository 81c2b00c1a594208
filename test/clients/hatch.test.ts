import { describe, expect, it } from "vitest";
import { isInstalled, programOf } from "./catalogue.ts";
import { throughLarder } from "./scene.ts";
import { commandsOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

const project = (installer: string) => `
[project]
name = "app"
version = "0"

[tool.hatch.envs.default]
skip-install = true
installer = "${installer}"
dependencies = ["demo[fast]", "Demo_2"]
`;

describe.skipIf(!isInstalled("hatch"))("hatch", () => {
  throughLarder((scene) => {
    it("makes an environment with pip, and runs in it", async () => {
      const { run, write } = workplace();
      write("pyproject.toml", project("pip"));
      const [{ env, args } = { env: {}, args: [] }] = commandsOf("hatch", scene.base);
      await run("hatch", args, { env });
      const { output } = await run("hatch", ["run", "demo"], { env });
      expect(output).toContain("demo 2.1");
    });

    it.skipIf(!isInstalled("uv"))("makes an environment with uv, and runs in it", async () => {
      const { run, write } = workplace();
      write("pyproject.toml", project("uv"));
      const env = { UV_DEFAULT_INDEX: scene.index, HATCH_ENV_TYPE_VIRTUAL_UV_PATH: programOf("uv") };
      const { output } = await run("hatch", ["run", "demo"], { env });
      expect(output).toContain("demo 2.1");
    });
  });
});
