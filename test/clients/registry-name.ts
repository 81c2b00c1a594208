import { writeFileSync } from "node:fs";
import { createTestPki, type TestPki } from "../support/tls.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { startTlsFront } from "../support/tls-front.ts";
import type { Workplace } from "./workplace.ts";

// Making keys takes a moment, and they are good for two days: one set for all tests of a file.
let pki: TestPki | undefined;

/**
 * Leads the registry's own name to larder, as a company's DNS and TLS front would, and runs `use` with the environment
 * that makes a client go there: for those that have the host in their code (facts/clients.md rule 27).
 */
export async function asTheRegistry(
  place: Workplace,
  base: string,
  use: (env: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> {
  pki ??= createTestPki(["pypi.org", "files.pythonhosted.org"]);
  const front = await startTlsFront(pki, () => base);
  const proxy = await startForwardProxy({ tunnelTo: front.port });
  const ca = place.path("ca.pem");
  writeFileSync(ca, pki.ca);
  try {
    await use({
      HTTPS_PROXY: proxy.url,
      NO_PROXY: "",
      REQUESTS_CA_BUNDLE: ca,
      PIP_CERT: ca,
      SSL_CERT_FILE: ca,
    });
  } finally {
    await proxy.close();
    await front.close();
  }
}
