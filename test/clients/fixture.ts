import type { Package } from "../support/packages/build.ts";

/** What is on the fake PyPI: a little of everything that a resolver meets. */
export const PACKAGES: readonly Package[] = [
  {
    name: "demo",
    serial: 40,
    releases: [
      { version: "1.0", requires: ["helper>=1"], uploadedAt: "2025-11-02T03:04:05.678901Z" },
      { version: "1.5", yanked: "does not start", uploadedAt: "2025-12-02T03:04:05.678901Z" },
      {
        version: "2.0",
        requires: ["helper>=1"],
        extras: { fast: ["speedy"] },
        requiresPython: ">=3.6",
        scripts: { demo: "demo:main" },
        hasProvenance: true,
        uploadedAt: "2026-01-02T03:04:05.678901Z",
      },
      {
        version: "2.1",
        requires: ["helper>=1"],
        extras: { fast: ["speedy"] },
        requiresPython: ">=3.6",
        scripts: { demo: "demo:main" },
        hasProvenance: true,
        uploadedAt: "2026-06-02T03:04:05.678901Z",
      },
      // For nobody: every resolver must see `requires-python`, and step over it.
      { version: "9.0", requiresPython: ">=99", uploadedAt: "2026-06-03T03:04:05.678901Z" },
      // Pulled back: only `==` may find it.
      { version: "9.1", yanked: "published by mistake", uploadedAt: "2026-06-04T03:04:05.678901Z" },
    ],
  },
  { name: "helper", serial: 12, releases: [{ version: "0.9" }, { version: "1.0" }, { version: "1.2" }] },
  // To be built, without network: only an sdist.
  { name: "speedy", serial: 31, releases: [{ version: "1.0", kinds: ["sdist"] }] },
  // A name that is not normalized, in the metadata and in the names of files.
  { name: "Demo_2", serial: 33, releases: [{ version: "0.1", stem: "Demo_2" }, { version: "0.2" }] },
  // What pip-audit is for.
  {
    name: "leaky",
    serial: 34,
    releases: [
      {
        version: "1.0",
        vulnerabilities: [
          {
            aliases: ["CVE-2026-1"],
            details: "It leaks.",
            fixed_in: ["1.1"],
            id: "PYSEC-2026-1",
            link: "https://osv.dev/vulnerability/PYSEC-2026-1",
            source: "osv",
            summary: null,
            withdrawn: null,
          },
        ],
      },
      { version: "1.1" },
    ],
  },
  // No metadata beside the wheel: who wants it reads the wheel itself, by Range.
  {
    name: "bare",
    serial: 35,
    releases: [{ version: "1.0", requires: ["helper"], hasMetadata: false, ballastBytes: 300_000 }],
  },
];
