import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The S3 server of the tests: small, of one file, and pinned, so that a red test means larder. */
export const S3_SERVER = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

const PROGRAM = "versitygw";

/** Where `npm run s3-server` puts it: git-ignored, and kept from run to run. */
export const S3_SERVER_FOLDER = fileURLToPath(new URL("../../.cache/s3/", import.meta.url));

/** What installs it. */
export const INSTALL_S3_SERVER = "npm run s3-server";

/** The file that is written last: its text says which version is there. */
export const INSTALLED_MARK = join(S3_SERVER_FOLDER, "installed");

/** Whether the pinned version is there, whole. */
export function isS3ServerInstalled(): boolean {
  return existsSync(INSTALLED_MARK) && readFileSync(INSTALLED_MARK, "utf8") === `${S3_SERVER}\n`;
}

/** Path of the S3 server that was installed, or else of one on the PATH; undefined for none. */
export function findS3Server(): string | undefined {
  if (isS3ServerInstalled()) return join(S3_SERVER_FOLDER, PROGRAM);
  const onPath = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, PROGRAM));
  return onPath.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false; // not there, or not ours to run: the next one
    }
  });
}
