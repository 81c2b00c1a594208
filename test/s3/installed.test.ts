import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { findS3Server, INSTALL_S3_SERVER, S3_SERVER } from "./server-program.ts";

it("has a real S3 server to test against; where there is none, it says so, and with CI=true and Go it fails", (context) => {
  if (findS3Server() !== undefined) return;
  const told = `LEFT OUT, for want of an S3 server (${S3_SERVER}): test/s3\nto install it (with Go): ${INSTALL_S3_SERVER}`;
  const canInstall = spawnSync("go", ["version"], { stdio: "ignore" }).status === 0;
  if (process.env["CI"] === "true" && canInstall) expect.fail(told);
  process.stderr.write(`[tests] ${told}\n`);
  context.skip();
});
