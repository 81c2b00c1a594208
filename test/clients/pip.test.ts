import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type ClientName, isInstalled } from "./catalogue.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { installedIn } from "./site-packages.ts";
import { commandsOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

const PIPS = [
  ["pip", "26.3"],
  ["pip-23", "23.2.1"],
  ["pip-22", "22.3.1"],
  ["pip-20", "20.3.4"],
] as const satisfies readonly (readonly [ClientName, string])[];

describe.each(PIPS)("%s (%s)", (pip) => {
  describe.skipIf(!isInstalled(pip))("installed", () => {
    throughLarder(
      (scene) => {
        it("installs the newest release that fits, with what it requires, and builds an sdist", async () => {
          const { run, path } = workplace();
          await run(pip, ["install", "--target", path("t"), "demo[fast]", "Demo_2"], {
            env: { PIP_INDEX_URL: scene.index },
          });
          expect(installedIn(path("t"))).toEqual({
            demo: "2.1",
            demo_2: "0.2",
            helper: "1.2",
            speedy: "1.0",
          });
        });

        it("downloads the very bytes of upstream, and a yanked release where it is pinned", async () => {
          const { run, path } = workplace();
          const pins = ["demo==1.5", "helper==1.0", "Demo_2==0.1"];
          const { output } = await run(pip, [
            "download",
            "--no-deps",
            "-i",
            scene.index,
            "-d",
            path("d"),
            ...pins,
          ]);
          expect(output).toContain("does not start"); // the reason why it was yanked
          const files = readdirSync(path("d")).sort();
          expect(files).toEqual([
            "Demo_2-0.1-py3-none-any.whl",
            "demo-1.5-py3-none-any.whl",
            "helper-1.0-py3-none-any.whl",
          ]);
          for (const name of files) expect(readFileSync(path("d", name))).toEqual(scene.file(name).bytes);
        });

        it("installs what a requirements file pins by hash, and refuses any other bytes", async () => {
          const { run, path, write } = workplace();
          const line = (pin: string, sha256: string) => `${pin} --hash=sha256:${sha256}\n`;
          const helper = line("helper==1.2", scene.file("helper-1.2-py3-none-any.whl").sha256);
          const demo = line("demo==2.0", scene.file("demo-2.0-py3-none-any.whl").sha256);
          const { sha256: other } = scene.file("demo-2.0.tar.gz");
          write("good.txt", `--index-url ${scene.index}\n${demo}${helper}`);
          write("bad.txt", `--index-url ${scene.index}\n${line("helper==1.2", other)}`);
          await run(pip, ["install", "--require-hashes", "--target", path("t"), "-r", "good.txt"]);
          expect(installedIn(path("t"))).toEqual({ demo: "2.0", helper: "1.2" });
          const { output } = await run(
            pip,
            ["install", "--require-hashes", "--target", path("t2"), "-r", "bad.txt"],
            { code: 1 },
          );
          expect(output).toMatch(/do not match the hashes/i);
        });

        it("reads a wheel's metadata by Range, where none is beside it (fast-deps)", async () => {
          const { run, path } = workplace();
          const args = [
            "install",
            "--use-feature=fast-deps",
            "-i",
            scene.index,
            "--target",
            path("t"),
            "bare",
          ];
          const { output } = await run(pip, args);
          expect(installedIn(path("t"))).toEqual({ bare: "1.0", helper: "1.2" });
          if (pip !== "pip-20") expect(output).toMatch(/dependency information from bare 1\.0/);
        });
      },
      {
        onceMore: (scene) => {
          if (pip === "pip") configurationFile(scene);
          it("had nothing asked of upstream twice, however often pip wanted it new (max-age=0)", () => {
            expect(scene.askedTwice()).toEqual([]);
          });
        },
      },
    );
  });
});

function configurationFile(scene: Scene): void {
  it("is led to larder by its configuration file, which lets it cache over plain http", async () => {
    const { run, path, write } = workplace();
    write("pip.conf", `[global]\nindex-url = ${scene.index}\ntrusted-host = 127.0.0.1\n`);
    const env = { PIP_CONFIG_FILE: path("pip.conf") };
    await run("pip", ["install", "--target", path("t"), "demo"], { env });
    expect(installedIn(path("t"))).toEqual({ demo: "2.1", helper: "1.2" });
  });

  it("is led to larder by `pip config set`", async () => {
    const { run, path } = workplace();
    const env = { PIP_CONFIG_FILE: path("pip.conf") };
    for (const { args } of commandsOf("pip", scene.base)) await run("pip", args, { env });
    const { output } = await run("pip", ["index", "versions", "demo"], { env });
    expect(output).toContain("Available versions: 2.1, 2.0, 1.0");
  });
}
