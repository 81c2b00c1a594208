// Longer than any path that PyPI has (a file's path is its longest), shorter than any buffer here.
const MAX_TARGET_CHARACTERS = 2048;

/** The path that a request names, cleaned: one slash where there were many, prefix and query taken off. */
export interface Target {
  /** Still percent-encoded, begins with a slash. */
  readonly path: string;
  /** Without the question mark; "" for none. */
  readonly query: string;
  /** Whether nothing of the path had to be mended: no slash too many. */
  readonly isAsSent: boolean;
}

/** Why a request target cannot be a path of this server. */
export interface Refusal {
  readonly status: 400;
  readonly reason: string;
}

/**
 * Reads a request target (RFC 9112 §3.2) as sent. Refuses what no path of PyPI has, before a router or a URL parser
 * makes something else of it.
 *
 * @param prefix path prefix of the public URL ("" or "/pypi"), taken off where a front has not done so already
 */
export function readTarget(raw: string, prefix: string): Target | Refusal {
  if (raw.length > MAX_TARGET_CHARACTERS)
    return refuse(`the path is longer than ${MAX_TARGET_CHARACTERS} characters`);
  const target = raw.replace(/^https?:\/\/[^/?#]*/i, "");
  const queryAt = target.indexOf("?");
  const rawPath = queryAt < 0 ? target : target.slice(0, queryAt);
  const query = queryAt < 0 ? "" : target.slice(queryAt + 1);
  if (/[^\x21-\x7e]/.test(rawPath)) return refuse("the path has raw characters that must be percent-encoded");
  if (/[\\#]/.test(rawPath)) return refuse("the path has a character that no path of PyPI has");
  // clients.md rule 18: pipenv asks for /simple//p/ when its source URL ends in a slash.
  const mended = `/${rawPath}`.replace(/\/{2,}/g, "/");
  const path = withoutPrefix(mended, prefix);
  if (!isPlainlyEncoded(path)) return refuse("the path is not properly percent-encoded");
  if (path.split("/").some(isDotSegment)) return refuse("the path has a . or .. segment");
  return { path, query, isAsSent: mended === rawPath };
}

function refuse(reason: string): Refusal {
  return { status: 400, reason };
}

/**
 * A front passes the prefix on, or takes it off before. Where it is called as one of larder's own roots is (`/pypi`), it
 * is on only if such a root follows.
 */
function withoutPrefix(path: string, prefix: string): string {
  if (prefix === "" || !path.startsWith(prefix)) return path;
  const rest = path.slice(prefix.length);
  if (rest === "" || !rest.startsWith("/")) return rest === "" && !ROOT.test(prefix) ? "/" : path;
  return ROOT.test(prefix) && !ROOT.test(rest) && rest !== "/" ? path : rest;
}

const ROOT = /^\/(?:simple|pypi|packages|integrity|rss|stats|healthz|readyz|metrics)(?:\/|$)/;

function isPlainlyEncoded(path: string): boolean {
  if (!path.includes("%")) return true;
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false; // decodeURIComponent has no other way to say so
  }
}

function isDotSegment(segment: string): boolean {
  return segment === "." || segment === ".." || /^(?:\.|%2e){1,2}$/i.test(segment);
}
