import { qualityValues } from "../quality-values.ts";

/** The content codings that larder can answer in. */
export type ContentCoding = "gzip" | "identity" | "zstd";

/**
 * Chooses the coding of an answer (RFC 9110 §12.5.3), of those on offer.
 *
 * @param offered in our order of preference, which decides between equal weights; identity is always possible
 * @returns identity where the request has no Accept-Encoding: rule 10, nothing is encoded unasked
 */
export function negotiateCoding(
  header: string | undefined,
  offered: readonly ContentCoding[],
): ContentCoding {
  if (header === undefined || header === "") return "identity";
  const weights = qualityValues(header);
  // RFC 9110 §8.4.1.3: x-gzip is to be taken for gzip.
  const asGzip = weights.get("x-gzip");
  if (asGzip !== undefined) weights.set("gzip", asGzip);
  let best: ContentCoding = "identity";
  let bestWeight = 0;
  for (const coding of offered) {
    const weight = weights.get(coding) ?? weights.get("*") ?? 0;
    if (weight > bestWeight) [best, bestWeight] = [coding, weight];
  }
  // "identity;q=1, gzip;q=0.5" is the only way to ask for identity first.
  return (weights.get("identity") ?? 0) > bestWeight ? "identity" : best;
}

/**
 * The coding of a document. What is rewritten must be encoded anew, and zstd costs a seventh of gzip; what is not goes out
 * as it is stored.
 */
export function offerCodings(header: string | undefined, isRewritten: boolean): ContentCoding {
  return negotiateCoding(header, isRewritten ? ["zstd", "gzip"] : ["gzip"]);
}
