// PEP 508 names. PyPI has none longer than this by far; the bound keeps keys short.
const PROJECT_NAME = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i;
const MAX_PROJECT_NAME = 256;

// Old releases have versions outside PEP 440 ("0.7.4.svn.r2010", "3.1.26-1"), so this only refuses what cannot be a
// path segment of PyPI's: controls, separators, and what a URL gives another meaning.
const VERSION = /^(?!\.{1,2}$)[^\x00-\x1f\x7f-\uffff/\\?#%"<>]+$/;
const MAX_VERSION = 128;

/**
 * The PEP 503 form of a project's name: lower case, runs of `.`, `_`, `-` as one `-`.
 * @returns undefined when no project can have this name: upstream need not be asked
 */
export function normalizeProject(spelling: string): string | undefined {
  if (spelling.length > MAX_PROJECT_NAME || !PROJECT_NAME.test(spelling)) return undefined;
  return spelling.replace(/[-_.]+/g, "-").toLowerCase();
}

/** Whether a group of the cache is a project. What belongs to none goes by its path, with a slash before it. */
export function isProject(group: string): boolean {
  return !group.startsWith("/");
}

/** Whether a release can have this version, as PyPI's JSON API takes it: any spelling, PEP 440 or older. */
export function isVersion(spelling: string): boolean {
  return spelling.length <= MAX_VERSION && VERSION.test(spelling);
}

const PEP_440 = new RegExp(
  "^v?(?:(?<epoch>[0-9]+)!)?(?<release>[0-9]+(?:\\.[0-9]+)*)" +
    "(?:[-_.]?(?<preName>alpha|beta|preview|pre|a|b|c|rc)[-_.]?(?<pre>[0-9]+)?)?" +
    "(?:-(?<implicitPost>[0-9]+)|(?<postName>[-_.]?(?:post|rev|r))[-_.]?(?<post>[0-9]+)?)?" +
    "(?<devName>[-_.]?dev[-_.]?(?<dev>[0-9]+)?)?" +
    "(?:\\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$",
  "i",
);

const PRE_NAMES: Readonly<Record<string, string>> = {
  alpha: "a",
  beta: "b",
  c: "rc",
  pre: "rc",
  preview: "rc",
};

/**
 * Whether two spellings can name one release: equal under PEP 440, trailing zeros and all. No proof that they do (two
 * releases of one project may differ in spelling alone: facts/pypi.md §10.10), so only upstream's own word joins them.
 */
export function maySpellOneVersion(one: string, other: string): boolean {
  if (one === other) return true;
  const canonical = canonicalVersion(one);
  return canonical !== undefined && canonical === canonicalVersion(other);
}

/** The PEP 440 form without trailing zeros, or undefined for what is outside PEP 440. */
function canonicalVersion(version: string): string | undefined {
  const parts = PEP_440.exec(version.trim().toLowerCase())?.groups;
  if (parts === undefined) return undefined;
  const { epoch, release, preName, pre, implicitPost, postName, post, devName, dev, local } = parts;
  const numbers = (release ?? "").split(".").map(withoutLeadingZeros);
  while (numbers.length > 1 && numbers.at(-1) === "0") numbers.pop();
  const postNumber = implicitPost ?? (postName === undefined ? undefined : (post ?? "0"));
  return [
    `${withoutLeadingZeros(epoch ?? "0")}!${numbers.join(".")}`,
    preName === undefined ? "" : `${PRE_NAMES[preName] ?? preName}${withoutLeadingZeros(pre ?? "0")}`,
    postNumber === undefined ? "" : `.post${withoutLeadingZeros(postNumber)}`,
    devName === undefined ? "" : `.dev${withoutLeadingZeros(dev ?? "0")}`,
    local === undefined ? "" : `+${local.split(/[-_.]/).map(withoutLeadingZeros).join(".")}`,
  ].join("");
}

function withoutLeadingZeros(digits: string): string {
  return digits.replace(/^0+(?=\d)/, "");
}
