import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { PACKAGES } from "./fixture.ts";
import { asTheRegistry } from "./registry-name.ts";
import { type Scene, throughLarder } from "./scene.ts";
import { workplace } from "./workplace.ts";

// Where it needs pip, it first brings its environment up to date; these are older than what Python comes with.
const TOOLS = ["pip", "setuptools", "wheel"].map((name) => ({ name, releases: [{ version: "0.1" }] }));

describe.skipIf(!isInstalled("pip-audit"))("pip-audit", () => {
  throughLarder(
    (scene) => {
      it("finds a vulnerability and what fixes it, where the registry's name leads to larder", async () => {
        const place = workplace();
        place.write("r.txt", "leaky==1.0\nhelper==1.2\n");
        await asTheRegistry(place, scene.base, async (env) => {
          const args = [
            "--no-deps",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "-f",
            "json",
            "-r",
            "r.txt",
          ];
          const { output } = await place.run("pip-audit", args, { env, code: 1 });
          expect(output).toContain("Found 1 known vulnerability in 1 package");
          expect(output).toContain('"id": "PYSEC-2026-1"');
          expect(output).toContain('"fix_versions": ["1.1"]');
          expect(output).toContain('"name": "helper", "version": "1.2", "vulns": []');
        });
      });
    },
    { packages: [...PACKAGES, ...TOOLS], onceMore },
  );
});

function onceMore(scene: Scene): void {
  it("resolves through larder by --index-url, where it needs pip", async () => {
    const place = workplace();
    place.write("r.txt", "demo==2.1\n");
    await asTheRegistry(place, scene.base, async (env) => {
      const args = ["--progress-spinner", "off", "--index-url", scene.index, "-r", "r.txt"];
      const { output } = await place.run("pip-audit", args, { env: { ...env, NO_PROXY: "127.0.0.1" } });
      expect(output).toContain("No known vulnerabilities found");
    });
  });
}
