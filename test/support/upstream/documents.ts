import { createHash } from "node:crypto";

/** A release as a test describes it. */
export interface ReleaseSpec {
  readonly version: string;
  /** Other spellings that answer with this release, as warehouse's canonical versions do (facts/pypi.md §1.1). */
  readonly spellings?: readonly string[];
  readonly yanked?: boolean;
  readonly yankedReason?: string | null;
  readonly requiresPython?: string | null;
  readonly requiresDist?: readonly string[] | null;
  readonly vulnerabilities?: readonly object[];
  /** Filenames, or whole entries; a wheel and an sdist where not given. */
  readonly files?: readonly (string | Readonly<Record<string, unknown>>)[];
}

/** A project as a test describes it. */
export interface ProjectSpec {
  /** As displayed: not normalized. */
  readonly name: string;
  readonly serial: number;
  readonly releases: readonly ReleaseSpec[];
  readonly description?: string;
  /** Laid over `info`. */
  readonly info?: Readonly<Record<string, unknown>>;
}

/** PEP 503. */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, "-");
}

/** JSON as warehouse writes it (facts/pypi.md §1.4): compact, keys sorted by code point, raw UTF-8, one newline. */
export function pypiJson(value: unknown): Buffer {
  return Buffer.from(`${compact(value)}\n`, "utf8");
}

// By hand, because an object of JavaScript moves keys like "2013" to its front.
function compact(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(compact).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${compact(member)}`).join(",")}}`;
}

/** `/pypi/<project>/json`: describes the last release that is not yanked, else the last. */
export function projectDocument(spec: ProjectSpec): Buffer {
  const latest = spec.releases.findLast((release) => release.yanked !== true) ?? spec.releases.at(-1);
  const releases = spec.releases.map((release) => [release.version, fileEntries(spec, release)] as const);
  return pypiJson({
    ...commonKeys(spec, latest),
    releases: Object.fromEntries(releases),
  });
}

/** `/pypi/<project>/<version>/json`: the same without `releases`. */
export function releaseDocument(spec: ProjectSpec, release: ReleaseSpec): Buffer {
  return pypiJson(commonKeys(spec, release));
}

function commonKeys(spec: ProjectSpec, release: ReleaseSpec | undefined) {
  return {
    info: info(spec, release),
    last_serial: spec.serial,
    ownership: { organization: null, roles: [{ role: "Owner", user: "someone" }] },
    urls: release === undefined ? [] : fileEntries(spec, release),
    vulnerabilities: release?.vulnerabilities ?? [],
  };
}

function info(spec: ProjectSpec, release: ReleaseSpec | undefined) {
  const page = `https://pypi.org/project/${normalizeName(spec.name)}/`;
  return {
    author: "Someone",
    author_email: null,
    bugtrack_url: null,
    classifiers: ["Programming Language :: Python :: 3"],
    description: spec.description ?? `# ${spec.name}\n\nGrüße, 世界 \u{1F600}`,
    description_content_type: "text/markdown",
    docs_url: null,
    download_url: null,
    downloads: { last_day: -1, last_month: -1, last_week: -1 },
    dynamic: null,
    home_page: null,
    keywords: null,
    license: null,
    license_expression: "MIT",
    license_files: null,
    maintainer: null,
    maintainer_email: null,
    name: spec.name,
    package_url: page,
    platform: null,
    project_url: page,
    project_urls: null,
    provides_extra: null,
    release_url: `${page}${release?.version ?? ""}/`,
    requires_dist: release?.requiresDist ?? null,
    requires_python: release?.requiresPython ?? null,
    summary: "A project of the tests",
    version: release?.version ?? "",
    yanked: release?.yanked ?? false,
    yanked_reason: release?.yankedReason ?? null,
    ...spec.info,
  };
}

function fileEntries(spec: ProjectSpec, release: ReleaseSpec) {
  const stem = `${normalizeName(spec.name).replaceAll("-", "_")}-${release.version}`;
  const filenames = release.files ?? [`${stem}-py3-none-any.whl`, `${stem}.tar.gz`];
  return filenames.map((file) => (typeof file === "string" ? fileEntry(file, release) : file));
}

function fileEntry(filename: string, release: ReleaseSpec) {
  const isWheel = filename.endsWith(".whl");
  const [blake2b, md5, sha256] = [
    digest("blake2b", filename),
    digest("md5", filename),
    digest("sha256", filename),
  ];
  return {
    comment_text: null,
    "core-metadata": isWheel ? { sha256: digest("metadata", filename) } : false,
    digests: { blake2b_256: blake2b, md5: md5.slice(0, 32), sha256 },
    downloads: -1,
    filename,
    has_sig: false,
    md5_digest: md5.slice(0, 32),
    packagetype: isWheel ? "bdist_wheel" : "sdist",
    python_version: isWheel ? "py3" : "source",
    requires_python: release.requiresPython ?? null,
    size: 1000 + filename.length,
    upload_time: "2026-01-02T03:04:05",
    upload_time_iso_8601: "2026-01-02T03:04:05.678901Z",
    url: `https://files.pythonhosted.org/packages/${blake2b.slice(0, 2)}/${blake2b.slice(2, 4)}/${blake2b.slice(4)}/${filename}`,
    yanked: release.yanked ?? false,
    yanked_reason: release.yankedReason ?? null,
  };
}

/** 64 hex digits that depend on nothing but their arguments. */
function digest(kind: string, filename: string): string {
  return createHash("sha256").update(`${kind}:${filename}`).digest("hex");
}
