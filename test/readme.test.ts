import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
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

describe("the README", () => {
  it("lists every variable with its default, and each client's settings (UPDATE_README=1 renders the table anew)", () => {
    const readme = readFileSync(README, "utf8");
    const rendered = readme
      .replace(TABLE, (_, begin: string, end: string) => begin + renderedTable() + end)
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
