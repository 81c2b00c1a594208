import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchRaw } from "./support/client.ts";
import { startForwardProxy } from "./support/forward-proxy.ts";
import { type LarderProcess, runProcess, startProcess } from "./support/process.ts";
import { createTestPki } from "./support/tls.ts";
import { type FakeUpstream, startUpstream } from "./support/upstream.ts";

const DEMO = "/pypi/demo/json";

let upstream: FakeUpstream;
let directory: string;
let larder: LarderProcess | undefined;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10 });
  directory = mkdtempSync(join(tmpdir(), "larder-test-"));
});

afterEach(async () => {
  await larder?.end("SIGKILL");
  larder = undefined;
  await upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

async function start(env: Record<string, string> = {}): Promise<LarderProcess> {
  larder = await startProcess({
    LARDER_UPSTREAM: upstream.url,
    LARDER_DATA: directory,
    LARDER_FILES: "upstream",
    ...env,
  });
  return larder;
}

describe("the process", () => {
  it("serves, is killed in the middle of it, and serves all it had with upstream gone", async () => {
    const first = await start();
    for (let i = 0; i < 40; i++) upstream.project(`p${i}`, { serial: i + 1 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => fetchRaw(first.url, `/pypi/p${i}/json`)),
    );
    // The rest is on its way when the end comes.
    const rest = Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => fetchRaw(first.url, `/pypi/p${i + 20}/json`)),
    );
    expect(await first.end("SIGKILL")).toBe("SIGKILL");
    await rest;
    await upstream.down();
    const second = await start();
    for (const [i, { body }] of answers.entries()) {
      const answer = await fetchRaw(second.url, `/pypi/p${i}/json`);
      expect([answer.status, answer.body.equals(body)]).toEqual([200, true]);
    }
  });

  it.each(["SIGTERM", "SIGINT"] as const)(
    "on %s answers what is under way, and ends with 0",
    async (signal) => {
      const { url } = await start();
      const gate = upstream.hold();
      const waiting = fetchRaw(url, DEMO);
      await upstream.arrived(1);
      const ended = larder?.end(signal);
      await expect
        .poll(() =>
          fetchRaw(url, "/healthz").catch((error: unknown) =>
            error instanceof Error && "code" in error ? error.code : error,
          ),
        )
        .toBe("ECONNREFUSED");
      gate.release();
      const { status, headers } = await waiting;
      expect([status, headers.connection]).toEqual([200, "close"]);
      expect(await ended).toBe(0);
    },
  );

  it("tells all that is wrong with its configuration at once, and does not start", async () => {
    const { code, output } = await runProcess({
      PORT: "eighty",
      LARDER_FRESH: "10",
      LARDER_FRSH: "10m",
      LARDER_UPSTREAM: "pypi.org",
      REDIS_URL: "http://user:secret@redis",
    });
    expect(code).toBe(1);
    for (const part of [
      "PORT",
      "LARDER_FRESH",
      "LARDER_FRSH",
      "did you mean LARDER_FRESH",
      "LARDER_UPSTREAM",
      "REDIS_URL",
    ]) {
      expect(output).toContain(part);
    }
    expect(output).not.toContain("secret");
    expect(output).not.toMatch(/\bat .*\.ts:\d+/);
  });

  it("names the directory that it cannot use, and ends with 1", async () => {
    writeFileSync(join(directory, "file"), "");
    const { code, output } = await runProcess({ PORT: "0", LARDER_DATA: join(directory, "file") });
    expect([code, output]).toMatchObject([
      1,
      expect.stringContaining(`LARDER_DATA (${directory}/file)`) as string,
    ]);
  });

  it("says so when it cannot listen, and ends with 1", async () => {
    const { url } = await start();
    const { code, output } = await runProcess({
      PORT: new URL(url).port,
      HOST: "127.0.0.1",
      LARDER_DATA: directory,
    });
    expect([code, output]).toMatchObject([1, expect.stringContaining("EADDRINUSE") as string]);
  });

  it("writes one line for each request, with no secret in it", async () => {
    const { url, output } = await start();
    const headers = { authorization: "Basic c2VjcmV0", "user-agent": "pip/26.3" };
    await fetchRaw(url, `${DEMO}?token=secret`, { headers });
    await fetchRaw(url, DEMO);
    await larder?.end("SIGTERM");
    const lines = output()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const requests = lines.filter(({ msg }) => msg === "request");
    expect(requests).toMatchObject([
      { method: "GET", path: DEMO, status: 200, cache: "miss", agent: "pip/26.3" },
      { method: "GET", path: DEMO, status: 200, cache: "hit" },
    ]);
    expect(output()).not.toContain("secret");
    expect(output()).not.toContain("c2VjcmV0");
  });
});

describe("the way out", () => {
  it("goes through a forward proxy to an upstream whose CA is private", async () => {
    const pki = createTestPki();
    const secure = await startUpstream({ tls: pki });
    const proxy = await startForwardProxy({ credentials: { user: "farm", password: "s3cret" } });
    secure.project("demo", { serial: 10 });
    writeFileSync(join(directory, "ca.pem"), pki.ca);
    const { url, output } = await start({
      LARDER_UPSTREAM: secure.url,
      LARDER_CA: join(directory, "ca.pem"),
      HTTPS_PROXY: proxy.url,
    });
    try {
      expect((await fetchRaw(url, DEMO)).status).toBe(200);
      expect(proxy.requests).toHaveLength(1);
      expect(output()).not.toContain("s3cret");
    } finally {
      await proxy.close();
      await secure.close();
    }
  });

  it("does without the proxy where NO_PROXY says so, and refuses an upstream whose CA is unknown", async () => {
    const pki = createTestPki();
    const secure = await startUpstream({ tls: pki });
    const proxy = await startForwardProxy();
    try {
      const { url } = await start({
        LARDER_UPSTREAM: secure.url,
        HTTPS_PROXY: proxy.url,
        NO_PROXY: "127.0.0.1",
      });
      const answer = await fetchRaw(url, DEMO);
      expect([answer.status, JSON.parse(answer.body.toString())]).toMatchObject([503, { cause: "connect" }]);
      expect(proxy.requests).toHaveLength(0);
    } finally {
      await proxy.close();
      await secure.close();
    }
  });
});
