import { qualityValues } from "../quality-values.ts";

/** The media types of the Simple API, as a Content-Type says them (PEP 691; clients.md rule 2). */
export type SimpleMediaType =
  "text/html" | "application/vnd.pypi.simple.v1+html" | "application/vnd.pypi.simple.v1+json";

/** By what a request names: each of the three, and `latest`, which is never named in an answer (facts/pypi.md §2.1). */
const NAMED: ReadonlyMap<string, SimpleMediaType> = new Map([
  ["text/html", "text/html"],
  ["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html"],
  ["application/vnd.pypi.simple.latest+html", "application/vnd.pypi.simple.v1+html"],
  ["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+json"],
  ["application/vnd.pypi.simple.latest+json", "application/vnd.pypi.simple.v1+json"],
]);

/** How a media type can be asked for, the most specific first (RFC 9110 §12.5.1). */
interface Offer {
  readonly type: SimpleMediaType;
  /** Ranges that ask for it, as the edge has it: JSON is never what a wildcard gets. */
  readonly ranges: readonly (readonly string[])[];
}

// In the order that decides between equal weights: JSON, for pypi-simple asks for both alike (clients.md rule 1), then
// as PyPI's edge lists them.
const OFFERS: readonly Offer[] = [
  {
    type: "application/vnd.pypi.simple.v1+json",
    ranges: [["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json"]],
  },
  {
    type: "application/vnd.pypi.simple.v1+html",
    ranges: [
      ["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html"],
      ["application/*"],
    ],
  },
  { type: "text/html", ranges: [["text/html"], ["text/*"], ["*/*"]] },
];

/**
 * Chooses the media type of a Simple answer as PyPI's edge does (facts/pypi.md §2.1). There is no 406: whoever asks
 * for nothing on offer gets text/html.
 *
 * @param accept the Accept field; several of them joined by commas
 * @param format the query's `format`, see `readFormat`; one of the five names above wins over Accept, exactly written
 */
export function negotiateSimple(accept: string | undefined, format: string | undefined): SimpleMediaType {
  const asked = format === undefined ? undefined : NAMED.get(format);
  if (asked !== undefined) return asked;
  if (accept === undefined) return "text/html";
  const weights = qualityValues(accept);
  let best = { type: "text/html" as SimpleMediaType, weight: 0, wildness: Infinity };
  for (const { type, ranges } of OFFERS) {
    const { weight, wildness } = weigh(ranges, weights);
    const isBetter = weight > best.weight || (weight === best.weight && wildness < best.wildness);
    if (weight > 0 && isBetter) best = { type, weight, wildness };
  }
  return best.type;
}

/**
 * The `format` of a query, percent-decoded. A `+` stands for itself here, unlike in a form: "...v1+json" is what
 * people write.
 *
 * @param query without its question mark
 */
export function readFormat(query: string): string | undefined {
  const raw = query.split("&").find((pair) => pair.startsWith("format="));
  if (raw === undefined) return undefined;
  return raw.slice("format=".length).replaceAll(/%(2[bBfF])/g, (escape) => decodeURIComponent(escape));
}

/** The weight of a type is that of the most specific range that is there (RFC 9110 §12.5.1), 0 where none is. */
function weigh(
  ranges: Offer["ranges"],
  weights: ReadonlyMap<string, number>,
): { weight: number; wildness: number } {
  for (const [wildness, names] of ranges.entries()) {
    const found = names.flatMap((name) => weights.get(name) ?? []);
    if (found.length > 0) return { weight: Math.max(...found), wildness };
  }
  return { weight: 0, wildness: Infinity };
}
