// RFC 9110 §12.4.2, but for more decimals than three.
const QVALUE = /^(?:0(?:\.\d*)?|1(?:\.0*)?)$/;

/**
 * The members of a list with weights (RFC 9110 §12.4.2), in lower case; of one that comes twice the higher weight. What has
 * no valid weight is left out, and a parameter other than `q` narrows nothing here.
 */
export function qualityValues(header: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const part of header.toLowerCase().split(",")) {
    const [member = "", ...parameters] = part.split(";").map((piece) => piece.trim());
    const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
    if (member !== "" && QVALUE.test(q)) weights.set(member, Math.max(Number(q), weights.get(member) ?? 0));
  }
  return weights;
}
