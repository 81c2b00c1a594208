import { execFileSync, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fetchRaw } from "../../test/support/client.ts";
import { filenameOf } from "../catalogue.ts";
import { freePort } from "../../test/support/free-port.ts";
import { findCommand, launch, missingCommand, type ServerKind } from "./launch.ts";

const DAY_SECONDS = "86400";
const THREADS = "16";

/** proxpi under gunicorn, one worker of 16 threads, as its image runs it. */
export const proxpi: ServerKind = {
  name: "proxpi",
  missing: () => missingCommand("gunicorn") ?? missingModule(),
  rewrites: true,
  start: async ({ origin, directory }) => {
    const port = await freePort();
    const gunicorn = findCommand("gunicorn") ?? "gunicorn";
    return await launch({
      name: "proxpi",
      command: [gunicorn, "--threads", THREADS, "-b", `127.0.0.1:${port}`, "proxpi.server:app"],
      port,
      directory,
      env: {
        PROXPI_INDEX_URL: `${origin}/simple/`,
        HOME: directory,
        PROXPI_INDEX_TTL: DAY_SECONDS,
        PROXPI_CACHE_DIR: join(directory, "files"),
      },
      pathOf: (path) => {
        if (path.startsWith("/simple/")) return path.replace("/simple/", "/index/");
        return path.startsWith("/packages/") ? `/index/bench/${filenameOf(path)}` : undefined;
      },
    });
  },
};

/** Whether the Python that gunicorn runs in has no proxpi. */
function missingModule(): string | undefined {
  const python = join(dirname(findCommand("gunicorn") ?? ""), "python");
  const { status } = spawnSync(python, [
    "-c",
    "import importlib.util as u; u.find_spec('proxpi') or exit(1)",
  ]);
  return status === 0 ? undefined : "no proxpi beside gunicorn";
}

/** devpi-server with its SQLite store and a mirror of the origin. */
export const devpi: ServerKind = {
  name: "devpi",
  missing: () => missingCommand("devpi-server"),
  rewrites: true,
  isIdentityOnly: true,
  start: async ({ origin, directory }) => {
    const port = await freePort();
    const serverDirectory = join(directory, "server");
    execFileSync(findCommand("devpi-init") ?? "devpi-init", ["--serverdir", serverDirectory], {
      stdio: "ignore",
    });
    const server = await launch({
      name: "devpi",
      command: [
        findCommand("devpi-server") ?? "devpi-server",
        ...["--serverdir", serverDirectory, "--host", "127.0.0.1", "--port", String(port)],
      ],
      port,
      directory,
    });
    await addMirror(server.url, `${origin}/simple/`);
    return { ...server, pathOf: pathOf(await filesOfPage(server.url)) };
  },
};

// The user that every devpi has from the start, and an index of its.
const ADMIN = "root";
const INDEX = `/${ADMIN}/bench`;

/** Where devpi has the files of the page, by their names: it finds a place of its own for each. */
async function filesOfPage(url: string): Promise<ReadonlyMap<string, string>> {
  const page = `${INDEX}/+simple/bench/`;
  const { decoded } = await fetchRaw(url, page, { headers: { accept: "text/html" } });
  const hrefs = [...decoded.toString().matchAll(/href="([^"#]+)/g)].map(([, href = ""]) => href);
  return new Map(hrefs.map((href) => [filenameOf(href), new URL(href, `${url}${page}`).pathname]));
}

function pathOf(files: ReadonlyMap<string, string>): (path: string) => string | undefined {
  return (path) =>
    path.startsWith("/packages/")
      ? files.get(filenameOf(path))
      : path.startsWith("/simple/")
        ? path.replace("/simple/", `${INDEX}/+simple/`)
        : undefined;
}

async function addMirror(url: string, mirrorUrl: string): Promise<void> {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const login = JSON.stringify({ user: ADMIN, password: "" });
  const { body } = await fetchRaw(url, "/+login", { method: "POST", headers, body: login });
  const { result } = JSON.parse(body.toString()) as { result: { password: string } };
  const token = Buffer.from(`${ADMIN}:${result.password}`).toString("base64");
  const index = { type: "mirror", mirror_url: mirrorUrl, mirror_cache_expiry: Number(DAY_SECONDS) };
  const answer = await fetchRaw(url, INDEX, {
    method: "PUT",
    headers: { ...headers, "x-devpi-auth": token },
    body: JSON.stringify(index),
  });
  if (answer.status !== 200) throw new Error(`devpi made no mirror: ${answer.body.toString()}`);
}
