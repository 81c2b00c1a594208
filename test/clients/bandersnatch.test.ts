import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { throughLarder } from "./scene.ts";
import { snippetOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

// The rest of a configuration, all of it in the snippet's own section.
const rest = (directory: string) => `
directory = ${directory}
timeout = 10
workers = 3
hash-index = false
stop-on-error = true
`;

describe.skipIf(!isInstalled("bandersnatch"))("bandersnatch", () => {
  throughLarder((scene) => {
    it("mirrors every project and every file, byte for byte", async () => {
      const { run, path, write } = workplace();
      write("mirror.conf", snippetOf("bandersnatch", scene.base) + rest(path("mirror")));
      // It would take larder's own address through a proxy too: it knows no NO_PROXY (facts/clients.md §4).
      const env = { HTTP_PROXY: "", HTTPS_PROXY: "" };
      await run("bandersnatch", ["-c", "mirror.conf", "mirror"], { env });
      const files = readdirSync(path("mirror", "web", "packages"), { recursive: true, withFileTypes: true });
      const mirrored = files.filter((entry) => entry.isFile());
      expect(mirrored).toHaveLength(29);
      for (const { name, parentPath } of mirrored) {
        expect(readFileSync(join(parentPath, name)), name).toEqual(scene.file(name).bytes);
      }
      const documents = readdirSync(path("mirror", "web", "json")).sort();
      expect(documents).toEqual(["bare", "demo", "demo-2", "helper", "leaky", "speedy"]);
    });
  });
});
