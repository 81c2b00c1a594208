import type { BuiltFile, BuiltPackage, BuiltRelease } from "../packages/build.ts";
import { normalizeName, type ReleaseSpec } from "./documents.ts";
import { provenancePath } from "./integrity.ts";
import { API_VERSION, type SimpleFile, type SimplePage } from "./simple-documents.ts";

/** Where the URLs of a published project begin. */
export interface Bases {
  /** Of the index: provenance. */
  readonly index: string;
  /** Of the files host. */
  readonly files: string;
}

/** A project's page of the Simple API. */
export function simplePage(built: BuiltPackage, bases: Bases): SimplePage {
  const withFiles = built.releases.filter((release) => release.files.length > 0);
  const isQuarantined = built.status === "quarantined"; // facts/pypi.md §2.5: a page with nothing on it
  return {
    files: isQuarantined ? [] : withFiles.flatMap((release) => simpleFiles(built, release, bases)),
    meta: { "_last-serial": built.serial, "api-version": API_VERSION },
    name: normalizeName(built.name),
    "project-status": { status: built.status },
    versions: isQuarantined ? [] : withFiles.map((release) => release.version),
  };
}

function simpleFiles(built: BuiltPackage, release: BuiltRelease, bases: Bases): SimpleFile[] {
  const inOrder = [...release.files].sort((a, b) => (a.filename < b.filename ? -1 : 1));
  return inOrder.map((file) => {
    const metadata = file.metadata === undefined ? (false as const) : { sha256: file.metadata.sha256 };
    const provenance = provenancePath(built.name, release.version, file.filename);
    return {
      "core-metadata": metadata,
      "data-dist-info-metadata": metadata,
      filename: file.filename,
      hashes: { sha256: file.sha256 },
      provenance: file.hasProvenance ? `${bases.index}${provenance}` : null,
      "requires-python": release.requiresPython ?? null,
      size: file.bytes.length,
      "upload-time": file.uploadedAt,
      url: `${bases.files}${file.path}`,
      yanked: release.yanked,
    };
  });
}

/** A project's releases as its JSON API documents describe them. */
export function jsonApiReleases(built: BuiltPackage, bases: Bases): ReleaseSpec[] {
  return built.releases.map((release) => ({
    version: release.version,
    yanked: release.yanked !== false,
    yankedReason: typeof release.yanked === "string" ? release.yanked : null,
    requiresPython: release.requiresPython ?? null,
    vulnerabilities: release.vulnerabilities,
    requiresDist: release.requiresDist.length === 0 ? null : release.requiresDist,
    files: release.files.map((file) => jsonApiFile(file, release, bases)),
  }));
}

function jsonApiFile(file: BuiltFile, release: BuiltRelease, bases: Bases) {
  const isWheel = file.kind === "wheel";
  return {
    comment_text: null,
    "core-metadata": file.metadata === undefined ? false : { sha256: file.metadata.sha256 },
    digests: { blake2b_256: file.blake2b256, md5: file.md5, sha256: file.sha256 },
    downloads: -1,
    filename: file.filename,
    has_sig: false,
    md5_digest: file.md5,
    packagetype: isWheel ? "bdist_wheel" : "sdist",
    python_version: isWheel ? "py3" : "source",
    requires_python: release.requiresPython ?? null,
    size: file.bytes.length,
    upload_time: file.uploadedAt.slice(0, 19),
    upload_time_iso_8601: file.uploadedAt,
    url: `${bases.files}${file.path}`,
    yanked: release.yanked !== false,
    yanked_reason: typeof release.yanked === "string" ? release.yanked : null,
  };
}
