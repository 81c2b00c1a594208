import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Path of a `redis-server` to start, or undefined: the tests that need a real Redis are left out. */
    redisServer: string | undefined;
  }
}

const INSTALL = "sudo apt-get install redis-server";

/**
 * Vitest's globalSetup: finds `redis-server` on the PATH, or installs it where it may (Debian, root), and hands its
 * path to the tests as `inject("redisServer")`. Where there is none, says what is left out and how to get it.
 *
 * @throws Error where CI=true and there is no redis-server: nothing may be left out there
 */
export default function setup(project: TestProject): void {
  const found = findRedisServer() ?? installRedisServer();
  if (found === undefined) {
    if (process.env["CI"] === "true") {
      throw new Error(`No redis-server, and with CI=true no test may be left out. Install it: ${INSTALL}`);
    }
    say(
      `no redis-server on the PATH: every test against a real Redis is LEFT OUT (test/store/redis*.test.ts)`,
    );
    say(`to run them: ${INSTALL}`);
  }
  project.provide("redisServer", found);
}

/** Path of the `redis-server` that the PATH names, or undefined. */
export function findRedisServer(path = process.env["PATH"] ?? ""): string | undefined {
  const candidates = [...path.split(delimiter), "/usr/bin", "/usr/local/bin"].map((dir) =>
    join(dir, "redis-server"),
  );
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false; // not there, or not ours to run: the next one
    }
  });
}

function installRedisServer(): string | undefined {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || spawnSync("apt-get", ["--version"]).status !== 0) return undefined;
  say("installing redis-server with apt-get, once …");
  aptGet("update", "-qq");
  aptGet("install", "-y", "-qq", "--no-install-recommends", "redis-server");
  return findRedisServer();
}

function aptGet(...args: readonly string[]): void {
  const started = Date.now();
  const { status, stderr } = spawnSync("apt-get", args, {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    encoding: "utf8",
    timeout: 180_000,
  });
  say(
    `apt-get ${args[0] ?? ""}: ${status === 0 ? "done" : `failed: ${stderr.trim()}`} (${Date.now() - started} ms)`,
  );
}

function say(line: string): void {
  process.stderr.write(`[tests] ${line}\n`);
}
