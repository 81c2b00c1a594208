import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchRaw } from "../support/client.ts";
import { startLarder, type TestLarder } from "../support/larder.ts";
import type { BuiltFile, BuiltPackage } from "../support/packages/build.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { freePort } from "../support/free-port.ts";

let upstream: FakeUpstream;
let larder: TestLarder;
let wheel: BuiltFile;

beforeEach(async () => {
  upstream = await startUpstream();
  const [demo] = upstream.publish({
    name: "demo",
    releases: [{ version: "1.0", ballastBytes: 100_000 }],
  }) as [BuiltPackage];
  wheel = demo.releases[0]!.files[0]!;
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

async function start(accel: string, trusted = "127.0.0.1"): Promise<void> {
  larder = await startLarder({
    upstream,
    env: {
      LARDER_FILES: "larder",
      LARDER_FILES_UPSTREAM: upstream.url,
      LARDER_ACCEL: accel,
      LARDER_TRUST_PROXY: trusted,
    },
  });
}

describe("a file that is handed over", () => {
  it("is named to the front once it is whole on disk, and comes through larder before", async () => {
    await start("x-accel-redirect:/own/");
    const cold = await larder.get(wheel.path);
    expect([cold.status, cold.body.equals(wheel.bytes)]).toEqual([200, true]);
    expect(cold.headers["x-accel-redirect"]).toBeUndefined();
    for (const headers of [{}, { range: "bytes=1-2" }, { range: "bytes=999999999-" }]) {
      const handed = await larder.get(wheel.path, { headers });
      expect([handed.status, handed.body.length]).toEqual([200, 0]);
      expect(handed.headers["x-accel-redirect"]).toMatch(/^\/own\/[0-9a-f]{2}\/[0-9a-f]{62}-[0-9a-f]{16}$/);
      expect([handed.headers.etag, handed.headers["content-type"], handed.headers["cache-control"]]).toEqual([
        cold.headers.etag,
        cold.headers["content-type"],
        cold.headers["cache-control"],
      ]);
      expect(handed.headers["cache-status"]).toContain("hit");
    }
  });

  it("is named by its absolute path to who knows X-Sendfile", async () => {
    await start("x-sendfile");
    await larder.get(wheel.path);
    const { headers } = await larder.get(wheel.path);
    expect(readFileSync(String(headers["x-sendfile"])).equals(wheel.bytes)).toBe(true);
  });

  it("is not for a HEAD, a 304, or what is no file", async () => {
    await start("x-accel-redirect");
    const { headers } = await larder.get(wheel.path);
    const head = await larder.get(wheel.path, { method: "HEAD" });
    const known = await larder.get(wheel.path, { headers: { "if-none-match": String(headers.etag) } });
    await larder.get("/pypi/demo/json");
    const others = [
      head,
      known,
      await larder.get("/pypi/demo/json"),
      await larder.get(`${wheel.path}.metadata`),
    ];
    expect(others.map(({ status }) => status)).toEqual([200, 304, 200, 200]);
    expect(head.headers["content-length"]).toBe(String(wheel.bytes.length));
    for (const other of others) expect(other.headers["x-accel-redirect"]).toBeUndefined();
  });

  it("is sent by larder to a peer that is not the front", async () => {
    await start("x-accel-redirect", "192.0.2.1");
    await larder.get(wheel.path);
    const { headers, body } = await larder.get(wheel.path);
    expect([headers["x-accel-redirect"], body.equals(wheel.bytes)]).toEqual([undefined, true]);
  });
});

/** A server in front, set up as the README says. */
interface Front {
  readonly name: string;
  readonly accel: string;
  /** Where it may be. */
  readonly commands: readonly string[];
  /** Writes what it needs into `folder`. @returns the rest of its command line */
  readonly prepare: (folder: string, port: number, snippet: string) => string[];
  /** How its snippet begins in the README. */
  readonly snippet: RegExp;
}

const FRONTS: readonly Front[] = [
  {
    name: "nginx",
    accel: "x-accel-redirect",
    commands: ["nginx", "/usr/sbin/nginx"],
    snippet: /```nginx\n(.*?)```/s,
    prepare: (folder, port, snippet) => {
      const configuration = `${process.getuid?.() === 0 ? "user root;" : ""}
        daemon off; pid ${folder}/pid; error_log stderr warn;
        events { }
        http {
          access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p;
          fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
          server { listen 127.0.0.1:${port}; ${snippet} }
        }`;
      writeFileSync(join(folder, "nginx.conf"), configuration);
      return ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")];
    },
  },
  {
    name: "Caddy",
    accel: "x-sendfile",
    commands: ["caddy"],
    snippet: /Caddy, with `x-sendfile`:\s+```\n(.*?)```/s,
    prepare: (folder, port, snippet) => {
      const configuration = `{\n admin off\n}\nhttp://127.0.0.1:${port} {\n${snippet}\n}\n`;
      writeFileSync(join(folder, "Caddyfile"), configuration);
      return ["run", "--adapter", "caddyfile", "--config", join(folder, "Caddyfile")];
    },
  },
];

function isThere(command: string): boolean {
  try {
    execFileSync(command, ["version"], { stdio: "ignore" });
    return true;
  } catch (error) {
    // nginx knows no such word, and says so.
    return !(error instanceof Error && "code" in error && error.code === "ENOENT");
  }
}

describe.each(FRONTS)("behind a real $name", ({ name, accel, commands, prepare, snippet }) => {
  const command = commands.find(isThere);
  if (command === undefined)
    console.warn(`no ${name}: LARDER_ACCEL behind a real one is LEFT OUT (apt-get install ${commands[0]})`);
  const withFront = it.skipIf(command === undefined);
  let folder: string;
  let front: ChildProcess | undefined;
  let url: string;

  beforeEach(async () => {
    await start(accel);
    folder = mkdtempSync(join(tmpdir(), "larder-front-"));
    if (command === undefined) return;
    const port = await freePort();
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const own = (snippet.exec(readme)?.[1] ?? "")
      .replace("127.0.0.1:8080", new URL(larder.url).host)
      .replace("/var/lib/larder/files/", `${larder.dataDirectory}/files/`);
    front = spawn(command, prepare(folder, port, own), {
      env: { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
      stdio: "ignore",
    });
    url = `http://127.0.0.1:${port}`;
    await expect.poll(() => fetchRaw(url, "/healthz").then(({ status }) => status, String)).toBe(200);
  });

  afterEach(async () => {
    if (front !== undefined) {
      const ended = once(front, "exit");
      front.kill();
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  withFront("every file arrives, whole and in parts, with larder's own fields", async () => {
    const cold = await fetchRaw(url, wheel.path);
    expect(cold.body.equals(wheel.bytes)).toBe(true);
    const served = await fetchRaw(url, wheel.path);
    expect([served.status, served.body.equals(wheel.bytes)]).toEqual([200, true]);
    for (const field of ["etag", "last-modified", "content-type", "cache-control", "content-length"])
      expect(served.headers[field], field).toBe(cold.headers[field]);
    expect(served.headers["cache-status"]).toContain("hit");
    expect(served.headers[accel]).toBeUndefined();
    const part = async (range: string, also = {}) =>
      await fetchRaw(url, wheel.path, { headers: { range, ...also } });
    const { bytes } = wheel;
    const some = await part("bytes=10-19");
    expect([some.status, some.body.equals(bytes.subarray(10, 20))]).toEqual([206, true]);
    const tail = await part("bytes=-100");
    expect([tail.status, tail.body.equals(bytes.subarray(-100))]).toEqual([206, true]);
    const other = await part("bytes=10-19", { "if-range": '"another"' });
    expect([other.status, other.body.equals(bytes)]).toEqual([200, true]);
    expect((await part("bytes=999999999-")).status).toBe(416);
    const known = await fetchRaw(url, wheel.path, {
      headers: { "if-none-match": String(served.headers.etag) },
    });
    expect(known.status).toBe(304);
    const head = await fetchRaw(url, wheel.path, { method: "HEAD" });
    expect([head.status, head.headers["content-length"]]).toEqual([200, String(bytes.length)]);
    // The files are nobody's but through larder.
    const { headers } = await larder.get(wheel.path);
    expect((await fetchRaw(url, String(headers[accel]))).status).toBe(404);
  });
});
