import { UpstreamUnavailable } from "../errors.ts";
import type { Exchange } from "./exchange.ts";
import { fieldValue } from "./headers.ts";

/** Where a request goes. */
export interface Location {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Request target in origin form. */
  readonly path: string;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

// pypi.org needs one at most; two hops for odd spellings on the Simple API (facts/pypi.md §2.2).
const MAX_REDIRECTS = 3;

/**
 * Where a redirect leads (RFC 9110 §10.2.2), to any host by http or https.
 *
 * @param hops how many redirects have been followed before this answer
 * @returns undefined when the answer is no redirect; UpstreamUnavailable("redirects") when it cannot be followed
 */
export function nextLocation(
  answer: Pick<Exchange, "status" | "headers">,
  from: Location,
  hops: number,
): Location | UpstreamUnavailable | undefined {
  const { status, headers } = answer;
  if (!REDIRECTS.has(status)) return undefined;
  const refuse = (why: string) => new UpstreamUnavailable("redirects", `redirected ${why}`, { status });
  if (hops >= MAX_REDIRECTS) return refuse(`more than ${MAX_REDIRECTS} times`);
  const location = fieldValue(headers, "location");
  if (location === undefined) return refuse("without a Location");
  const target = URL.parse(location, from.origin + from.path);
  if (target === null) return refuse("to something that is no URL");
  if (target.protocol !== "http:" && target.protocol !== "https:") return refuse(`to ${target.protocol}`);
  return { origin: target.origin, path: target.pathname + target.search };
}
