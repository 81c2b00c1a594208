import { describe, expect, it } from "vitest";
import { isInstalled } from "./catalogue.ts";
import { throughLarder } from "./scene.ts";
import { commandsOf } from "./snippet.ts";
import { workplace } from "./workplace.ts";

describe.skipIf(!isInstalled("johnnydep"))("johnnydep", () => {
  throughLarder((scene) => {
    it("shows the tree of what a project requires", async () => {
      const { run } = workplace();
      const [{ args } = { args: [] }] = commandsOf("johnnydep", scene.base);
      const { output } = await run("johnnydep", [...args, "--output-format", "pinned"]);
      expect(output).toContain("helper==1.2");
    });
  });
});
