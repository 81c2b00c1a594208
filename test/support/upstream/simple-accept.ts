export type SimpleType =
  "text/html" | "application/vnd.pypi.simple.v1+html" | "application/vnd.pypi.simple.v1+json";

const HTML = "text/html";
const V1_HTML = "application/vnd.pypi.simple.v1+html";
const V1_JSON = "application/vnd.pypi.simple.v1+json";

/** What can be asked for, the one that wins a tie first (facts/pypi.md §2.1, facts/clients.md rule 1). */
const OFFERS: readonly (readonly [asked: string, answered: SimpleType])[] = [
  [V1_JSON, V1_JSON],
  ["application/vnd.pypi.simple.latest+json", V1_JSON],
  [V1_HTML, V1_HTML],
  ["application/vnd.pypi.simple.latest+html", V1_HTML],
  [HTML, HTML],
];

/** What pypi.org's edge answers with; HTML for whatever it does not know. */
export function acceptedType(accept: string | undefined, url: string): SimpleType {
  const format = new URL(url, "http://edge").searchParams.get("format");
  const named = OFFERS.find(([asked]) => asked === format);
  if (named !== undefined) return named[1];
  const ranges = new Map((accept ?? "").split(",").map(parseRange));
  const weighed = OFFERS.map(([asked, answered]) => ({ answered, q: ranges.get(asked) ?? 0 }));
  const best = weighed.reduce((a, b) => (b.q > a.q ? b : a));
  const anyApplication = ranges.get("application/*") ?? 0;
  if (best.q > 0 && best.q >= anyApplication) return best.answered;
  return anyApplication > 0 ? V1_HTML : HTML;
}

function parseRange(text: string): [type: string, q: number] {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
  return [type, q === undefined ? 1 : Number(q) || 0];
}
