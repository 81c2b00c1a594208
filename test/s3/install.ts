import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { INSTALLED_MARK, isS3ServerInstalled, S3_SERVER, S3_SERVER_FOLDER } from "./server-program.ts";

// Builds the S3 server of the tests with this machine's Go, from where that is told to look: some two minutes on two
// cores, once. What is there already is left alone.

function main(): void {
  if (isS3ServerInstalled()) {
    say("is there");
    return;
  }
  rmSync(S3_SERVER_FOLDER, { recursive: true, force: true });
  mkdirSync(S3_SERVER_FOLDER, { recursive: true });
  say("is being built …");
  const startedAt = performance.now();
  const { status, error } = spawnSync("go", ["install", S3_SERVER], {
    env: { ...process.env, GOBIN: S3_SERVER_FOLDER, CGO_ENABLED: "0" },
    stdio: "inherit",
    timeout: 900_000,
  });
  if (status !== 0) {
    say(`FAILED${error === undefined ? "" : `: ${error.message}`} (it needs Go on the PATH)`);
    process.exitCode = 1;
    return;
  }
  writeFileSync(INSTALLED_MARK, `${S3_SERVER}\n`);
  say(`installed (${((performance.now() - startedAt) / 1_000).toFixed(1)} s)`);
}

function say(what: string): void {
  process.stdout.write(`[s3-server] ${S3_SERVER}: ${what}\n`);
}

main();
