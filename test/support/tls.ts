import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A private CA, and a certificate of it for 127.0.0.1, localhost and what else was asked; all PEM. */
export interface TestPki {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/**
 * Makes a new private CA with the `openssl` command.
 *
 * @param names further host names that the certificate is for, such as `pypi.org`
 */
export function createTestPki(names: readonly string[] = []): TestPki {
  const folder = mkdtempSync(join(tmpdir(), "larder-pki-"));
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  try {
    const caUse = [
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-addext",
      "keyUsage=critical,keyCertSign",
    ];
    openssl(
      "req",
      "-x509",
      ...EC_KEY,
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-days",
      "2",
      "-subj",
      "/CN=larder-test-ca",
      ...caUse,
    );
    openssl("req", ...EC_KEY, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost");
    const alternatives = ["IP:127.0.0.1", ...["localhost", ...names].map((name) => `DNS:${name}`)];
    writeFileSync(join(folder, "leaf.ext"), `subjectAltName=${alternatives.join(",")}\n`);
    const signer = [
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-extfile",
      "leaf.ext",
      "-days",
      "2",
    ];
    openssl("x509", "-req", "-in", "leaf.csr", "-out", "leaf.pem", ...signer);
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    return { ca: read("ca.pem"), cert: read("leaf.pem"), key: read("leaf.key") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
