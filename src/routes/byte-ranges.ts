/** Bytes [`startAt`, `endAt`) of a representation. */
export interface ByteRange {
  readonly startAt: number;
  readonly endAt: number;
}

/** What a request's Range comes to (RFC 9110 §14.2): all of it (200), one part or several (206), or 416. */
export type RangeSelection =
  | { readonly kind: "whole" }
  | { readonly kind: "one"; readonly range: ByteRange }
  | { readonly kind: "several"; readonly ranges: readonly ByteRange[] }
  | { readonly kind: "unsatisfiable" };

const WHOLE: RangeSelection = { kind: "whole" };
const UNSATISFIABLE: RangeSelection = { kind: "unsatisfiable" };

// RFC 9110 §14.2 lets a server ignore a Range that asks for many small parts. Nobody who installs asks for more.
const MOST_RANGES = 8;

/**
 * Chooses what to send for a `Range` (RFC 9110 §14.1.2, §14.2).
 *
 * A Range that is malformed, of another unit than bytes, or of more than eight parts is ignored. A suffix longer than
 * the representation is all of it, as a 206 (clients.md rule 9: uv, poetry). Parts that cannot be satisfied are left
 * out; where two overlap or touch, they become one, in ascending order (RFC 9110 §15.3.7.2).
 *
 * @param header the field's value, undefined where the request has none
 * @param bytes length of the representation
 */
export function selectRange(header: string | undefined, bytes: number): RangeSelection {
  const specs = header === undefined ? undefined : parseRanges(header);
  if (specs === undefined || specs.length > MOST_RANGES) return WHOLE;
  const asked = specs.map((spec) => satisfy(spec, bytes)).filter((range) => range !== undefined);
  const ranges = hasOverlap(asked) ? merge(asked) : asked;
  const [first] = ranges;
  if (first === undefined) return UNSATISFIABLE;
  return ranges.length === 1 ? { kind: "one", range: first } : { kind: "several", ranges };
}

/**
 * Whether a Range may be answered in spite of an `If-Range` (RFC 9110 §13.1.5): there is none, or it names exactly
 * this representation, by its strong ETag or by its Last-Modified.
 */
export function isSameRepresentation(
  ifRange: string | undefined,
  etag: string,
  lastModified: string | undefined,
): boolean {
  if (ifRange === undefined) return true;
  const named = ifRange.trim();
  return named === etag || named === lastModified;
}

/** `bytes a-b/n` (RFC 9110 §14.4). */
export function contentRange({ startAt, endAt }: ByteRange, bytes: number): string {
  return `bytes ${startAt}-${endAt - 1}/${bytes}`;
}

/** "a-b" and "a-" with `first`; "-n" with `suffix` alone. */
type Spec =
  | { readonly kind: "from"; readonly first: number; readonly last: number }
  | { readonly kind: "suffix"; readonly bytes: number };

/** @returns undefined for what is to be ignored */
function parseRanges(header: string): Spec[] | undefined {
  const [, list] = /^\s*bytes\s*=(.*)$/i.exec(header) ?? [];
  // A list may have empty members (RFC 9110 §5.6.1.2).
  const members = list
    ?.split(",")
    .map((member) => member.trim())
    .filter((member) => member !== "");
  if (members === undefined || members.length === 0) return undefined;
  const specs = members.map(parseSpec).filter((spec) => spec !== undefined);
  return specs.length === members.length ? specs : undefined;
}

function parseSpec(text: string): Spec | undefined {
  const [, first, last] = /^(\d*)-(\d*)$/.exec(text) ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  if (first === "") return { kind: "suffix", bytes: natural(last) };
  const spec = { first: natural(first), last: last === "" ? Number.MAX_SAFE_INTEGER : natural(last) };
  return spec.last < spec.first ? undefined : { kind: "from", ...spec };
}

/** More digits than a number holds mean no less than the end. */
function natural(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

function satisfy(spec: Spec, bytes: number): ByteRange | undefined {
  if (spec.kind === "suffix") {
    const startAt = Math.max(0, bytes - spec.bytes);
    return startAt < bytes ? { startAt, endAt: bytes } : undefined;
  }
  return spec.first < bytes ? { startAt: spec.first, endAt: Math.min(spec.last, bytes - 1) + 1 } : undefined;
}

function ascending(ranges: readonly ByteRange[]): ByteRange[] {
  return [...ranges].sort((a, b) => a.startAt - b.startAt);
}

function hasOverlap(ranges: readonly ByteRange[]): boolean {
  const sorted = ascending(ranges);
  return sorted.some((range, i) => range.startAt <= (sorted[i - 1]?.endAt ?? -1));
}

function merge(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: ByteRange[] = [];
  for (const range of ascending(ranges)) {
    const last = merged.at(-1);
    if (last === undefined || range.startAt > last.endAt) merged.push(range);
    else merged[merged.length - 1] = { ...last, endAt: Math.max(last.endAt, range.endAt) };
  }
  return merged;
}
