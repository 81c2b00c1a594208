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
  const weights = parseWeights(header);
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

function parseWeights(header: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const part of header.toLowerCase().split(",")) {
    const [coding = "", ...parameters] = part.split(";").map((piece) => piece.trim());
    if (coding === "") continue;
    const q = parameters.find((parameter) => parameter.startsWith("q="));
    const weight = q === undefined ? 1 : Number(q.slice(2));
    weights.set(coding === "x-gzip" ? "gzip" : coding, Number.isFinite(weight) ? weight : 0);
  }
  return weights;
}
