import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { describe, expect, it } from "vitest";

/** Folder -> folders it may import from. A row names only rows below it: so there are no circles between folders. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ["compose", "config", "workers"],
  compose: [
    "routes",
    "resources",
    "cache",
    "upstream",
    "store",
    "fleet",
    "workers",
    "feed",
    "blobs",
    "s3",
    "mirrors",
    "ops",
    "pypi",
    "config",
  ],
  routes: ["resources", "cache", "pypi"],
  resources: ["cache", "s3", "upstream", "blobs", "store", "pypi"],
  feed: ["cache", "upstream", "fleet", "store", "pypi"],
  config: ["redis", "s3"],
  ops: [],
  mirrors: [],
  s3: ["upstream", "blobs", "store"],
  upstream: ["store", "fleet"],
  blobs: ["store", "sqlite", "fleet"],
  cache: ["store", "fleet"],
  fleet: ["redis", "store", "workers"],
  workers: [],
  store: ["redis", "sqlite"],
  redis: [],
  sqlite: [],
  pypi: [],
};

/** Packages -> the only folders that may know of them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  hono: ["routes"],
  "@hono/node-server": ["routes"],
  undici: ["upstream", "mirrors", "compose"],
  ioredis: ["redis", "store", "fleet"],
  "node:sqlite": ["sqlite", "store", "blobs"],
  "hash-wasm": ["blobs"],
  "@aws-sdk/client-s3": ["s3"],
  "@aws-sdk/lib-storage": ["s3"],
  "@aws-sdk/s3-request-presigner": ["s3"],
  pino: ["ops", "compose"],
  "prom-client": ["ops"],
};

/** Files at the top that anyone may use. The other one is main.ts. */
const LEAVES = new Set([
  "bounded-map.ts",
  "clock.ts",
  "errors.ts",
  "event-loop.ts",
  "http-date.ts",
  "quality-values.ts",
  "redact.ts",
]);

function layerOf(file: string): string {
  if (file.includes(sep)) return file.split(sep)[0]!;
  if (LEAVES.has(file)) return "leaf";
  return "main";
}

const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".ts"),
);

function importsOf(file: string): string[] {
  const source = readFileSync(join("src", file), "utf8");
  const paths = [...source.matchAll(/^(?:import|export)[^"]*?from "([^"]+)"/gms)].map((match) => match[1]!);
  return paths.filter((path) => !path.endsWith(".json"));
}

describe("architecture", () => {
  it.each(files)("%s imports only what its folder may", (file) => {
    const layer = layerOf(file);
    const allowed = ["leaf", layer, ...(MAY_IMPORT[layer] ?? [])];
    for (const path of importsOf(file)) {
      if (path.startsWith(".")) {
        expect(allowed, `${file} -> ${path}`).toContain(layerOf(normalize(join(dirname(file), path))));
        continue;
      }
      const name = path.startsWith("@") ? path.split("/").slice(0, 2).join("/") : path.split("/")[0]!;
      const only = PACKAGES[name];
      if (only !== undefined) expect(only, `${file} -> ${path}`).toContain(layer);
    }
  });

  it("has no circle of imports", () => {
    const graph = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .filter((path) => path.startsWith("."))
          .map((path) => normalize(join(dirname(file), path))),
      ]),
    );
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      expect(path, `circle: ${[...path, file].join(" -> ")}`).not.toContain(file);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  it("has no room that has grown too large", () => {
    const long = files.filter((file) => readFileSync(join("src", file), "utf8").split("\n").length > 400);
    expect(long).toEqual([]);
  });
});
