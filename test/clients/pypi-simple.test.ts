import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { throughLarder } from "./scene.ts";
import { snippetOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

const SCRIPT = `
import json
from pypi_simple import PyPISimple

with CLIENT as client:
    page = client.get_project_page("Demo")
    wheel = next(p for p in page.packages if p.filename == "demo-2.1-py3-none-any.whl")
    client.download_package(wheel, "wheel.whl")
    print(json.dumps({
        "index": client.get_index_page().projects,
        "project": page.project,
        "api": page.repository_version,
        "serial": page.last_serial,
        "yanked": sorted(p.filename for p in page.packages if p.is_yanked),
        "reason": next(p.yanked_reason for p in page.packages if p.version == "1.5"),
        "size": wheel.size,
        "uploaded": str(wheel.upload_time),
        "metadata": client.get_package_metadata(wheel).split("\\n")[1],
        "provenance": list(client.get_provenance(wheel)),
    }))
`;

describe.skipIf(!isInstalled("pypi-simple"))("pypi-simple", () => {
  throughLarder((scene) => {
    it("reads the index, a page in JSON, a file, its metadata and its provenance", async () => {
      const { run, path, write } = workplace();
      write("read.py", SCRIPT.replace("CLIENT", snippetOf("pypi-simple", scene.base)));
      const { output } = await run("pypi-simple", ["read.py"]);
      const { bytes, sha256 } = scene.file("demo-2.1-py3-none-any.whl");
      expect(JSON.parse(output)).toEqual({
        index: ["bare", "demo", "Demo_2", "helper", "leaky", "speedy"],
        project: "demo",
        api: "1.4",
        serial: "40",
        yanked: [
          "demo-1.5-py3-none-any.whl",
          "demo-1.5.tar.gz",
          "demo-9.1-py3-none-any.whl",
          "demo-9.1.tar.gz",
        ],
        reason: "does not start",
        size: bytes.length,
        uploaded: "2026-06-02 03:04:05.678901+00:00",
        metadata: "Name: demo",
        provenance: ["attestation_bundles", "version"],
      });
      expect(
        createHash("sha256")
          .update(readFileSync(path("wheel.whl")))
          .digest("hex"),
      ).toBe(sha256);
    });
  });
});
