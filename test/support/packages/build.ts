import { createHash } from "node:crypto";
import { blake2b256 } from "./blake2b.ts";
import {
  buildSdist,
  buildWheel,
  coreMetadata,
  type Distribution,
  requiresDist,
  sdistFilename,
  wheelFilename,
} from "./distributions.ts";

/** A release as a test describes it. */
export interface PackageRelease extends Omit<Distribution, "name"> {
  /** Both where not given, the wheel first. */
  readonly kinds?: readonly ("wheel" | "sdist")[];
  /** ISO 8601 with six decimals and `Z`, as PyPI writes it. */
  readonly uploadedAt?: string;
  /** The reason, or true without one. */
  readonly yanked?: string | true;
  /** As the JSON API shows them. */
  readonly vulnerabilities?: readonly object[];
  /** Whether its files have attestations. */
  readonly hasProvenance?: boolean;
  /** False where PyPI has not extracted the wheel's metadata. */
  readonly hasMetadata?: boolean;
}

/** A project as a test describes it. */
export interface Package {
  /** As displayed: not normalized. */
  readonly name: string;
  readonly serial?: number;
  /** Oldest first. */
  readonly releases: readonly PackageRelease[];
  readonly status?: "active" | "archived" | "quarantined";
}

/** A file as PyPI would have it. */
export interface BuiltFile {
  readonly filename: string;
  readonly kind: "wheel" | "sdist";
  readonly bytes: Buffer;
  readonly sha256: string;
  readonly md5: string;
  readonly blake2b256: string;
  /** `/packages/<aa>/<bb>/<60 hex>/<filename>`. */
  readonly path: string;
  /** What is at `path` + `.metadata`, where anything is. */
  readonly metadata: { readonly bytes: Buffer; readonly sha256: string } | undefined;
  readonly uploadedAt: string;
  readonly hasProvenance: boolean;
}

export interface BuiltRelease {
  readonly version: string;
  readonly requiresDist: readonly string[];
  readonly requiresPython: string | undefined;
  readonly yanked: string | boolean;
  readonly vulnerabilities: readonly object[];
  readonly files: readonly BuiltFile[];
}

export interface BuiltPackage {
  readonly name: string;
  readonly serial: number;
  readonly status: "active" | "archived" | "quarantined";
  readonly releases: readonly BuiltRelease[];
}

const UPLOADED_AT = "2026-01-02T03:04:05.678901Z";

/** Builds all files of a project: real wheels and sdists, the same bytes every time. */
export function buildPackage(spec: Package): BuiltPackage {
  const { name, serial = 1, status = "active" } = spec;
  return { name, serial, status, releases: spec.releases.map((release) => buildRelease(name, release)) };
}

function buildRelease(name: string, release: PackageRelease): BuiltRelease {
  const { kinds = ["wheel", "sdist"], yanked = false } = release;
  const distribution = { ...release, name };
  return {
    version: release.version,
    requiresDist: requiresDist(distribution),
    requiresPython: release.requiresPython,
    yanked,
    vulnerabilities: release.vulnerabilities ?? [],
    files: kinds.map((kind) => buildFile(distribution, kind)),
  };
}

function buildFile(release: PackageRelease & Distribution, kind: "wheel" | "sdist"): BuiltFile {
  const isWheel = kind === "wheel";
  const filename = isWheel ? wheelFilename(release) : sdistFilename(release);
  const bytes = isWheel ? buildWheel(release) : buildSdist(release);
  const { hasMetadata = true, hasProvenance = false, uploadedAt = UPLOADED_AT } = release;
  const hash = blake2b256(bytes);
  const metadata = coreMetadata(release);
  return {
    filename,
    kind,
    bytes,
    sha256: hex("sha256", bytes),
    md5: hex("md5", bytes),
    blake2b256: hash,
    path: `/packages/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash.slice(4)}/${filename}`,
    metadata: isWheel && hasMetadata ? { bytes: metadata, sha256: hex("sha256", metadata) } : undefined,
    uploadedAt,
    hasProvenance,
  };
}

function hex(algorithm: "sha256" | "md5", bytes: Buffer): string {
  return createHash(algorithm).update(bytes).digest("hex");
}
