import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import results from "../bench/results.json" with { type: "json" };
import { snippets } from "../src/routes/snippets.ts";
import { optionsTable } from "../src/config/config.ts";

const README = fileURLToPath(new URL("../README.md", import.meta.url));
const TABLE = /(<!-- options: rendered by test\/readme\.test\.ts -->\n)[^]*(<!-- \/options -->)/;

const SNIPPETS = /(<!-- snippets: rendered by test\/readme\.test\.ts -->\n)[^]*(<!-- \/snippets -->)/;

const LANGUAGES: Readonly<Record<string, string>> = {
  uv: "toml",
  poetry: "toml",
  pdm: "toml",
  pipenv: "toml",
  bandersnatch: "ini",
  renovate: "json",
  "pypi-simple": "python",
};

function renderedSnippets(): string {
  const blocks = snippets("http://localhost:8080").map(({ client, text }) => {
    const language = LANGUAGES[client] ?? "sh";
    return `**${client}**\n\n\`\`\`${language}\n${text}\n\`\`\``;
  });
  return `\n${blocks.join("\n\n")}\n\n`;
}

function renderedTable(): string {
  const rows = optionsTable().map(({ env, fallback, help, reason }) => {
    const shown = fallback === "" ? "" : `\`${fallback}\``;
    return `| \`${env}\` | ${shown} | ${help} | ${reason} |`;
  });
  return [
    "",
    "| variable | default | what it does | why this default |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
    "",
  ].join("\n");
}

const FIGURES = /(<!-- figures: rendered by test\/readme\.test\.ts -->\n)[^]*(<!-- \/figures -->)/;
const FIGURE_ROWS = [
  ["JSON 3 kB gzip", "JSON of a project, 3 kB"],
  ["JSON 1 MB gzip", "JSON of a project, 1 MB"],
  ["simple HTML gzip", "Simple page of 24 files"],
  ["304", "304"],
  ["404 (negative hit)", "404"],
  ["file 4 kB", "file of 4 kB"],
  ["file 10 MB", "file of 10 MB"],
] as const;
const FIGURE_SERVERS = ["larder", "node:http", "nginx plain", "nginx tuned", "varnish", "proxpi", "devpi"];

function renderedFigures(): string {
  const hits: readonly { row: string; servers: Readonly<Record<string, object>> }[] = results.hits;
  const rows = FIGURE_ROWS.map(([row, name]) => {
    const servers = hits.find((hit) => hit.row === row)?.servers;
    const cells = FIGURE_SERVERS.map((server) => {
      const figures: { cpuMicros?: { median: number } } = servers?.[server] ?? {};
      return figures.cpuMicros === undefined ? "" : Math.round(figures.cpuMicros.median).toLocaleString("en");
    });
    return `| ${name} | ${cells.join(" | ")} |`;
  });
  const head = ["| |", ...FIGURE_SERVERS.map((server) => ` ${server} |`)].join("");
  return ["", head, `| --- |${" ---: |".repeat(FIGURE_SERVERS.length)}`, ...rows, "", ""].join("\n");
}

describe("the README", () => {
  it("lists every variable with its default, and each client's settings, and the figures of the bench (UPDATE_README=1 renders them anew)", () => {
    const readme = readFileSync(README, "utf8");
    const rendered = readme
      .replace(TABLE, (_, begin: string, end: string) => begin + renderedTable() + end)
      .replace(FIGURES, (_, begin: string, end: string) => begin + renderedFigures() + end)
      .replace(SNIPPETS, (_, begin: string, end: string) => begin + renderedSnippets() + end);
    if (process.env["UPDATE_README"] === "1") writeFileSync(README, rendered);
    else expect(readme).toBe(rendered);
  });

  it("gives commands that package.json has", () => {
    const { scripts } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
      scripts: Record<string, string>;
    };
    const readme = readFileSync(README, "utf8");
    for (const [, name = ""] of readme.matchAll(/npm run ([a-z0-9:-]+)/g))
      expect(Object.keys(scripts)).toContain(name);
    for (const [, name = ""] of readme.matchAll(/npm (start|test)\b/g))
      expect(Object.keys(scripts)).toContain(name);
  });
});

describe("the Dockerfile", () => {
  it("starts larder as npm start does", () => {
    const { scripts } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
      scripts: { start: string };
    };
    const [settings = "", command = ""] = scripts.start.split(/ (?=node )/);
    const dockerfile = readFileSync(new URL("../Dockerfile", import.meta.url), "utf8");
    for (const setting of settings.split(" ")) expect(dockerfile).toContain(setting);
    const words = command.split(" ").map((word) => JSON.stringify(word));
    expect(dockerfile).toContain(`CMD [${words.join(", ")}]`);
  });
});
