import type { EpochMs, Ms } from "../clock.ts";
import { parseHttpDate } from "../http-date.ts";
import type { Coding } from "../store/store.ts";

/** Header fields as undici hands them over: lower-case names, an array where a field came more than once. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The value of a field that may come once; of a repeated one the first; undefined where it is absent or empty. */
export function fieldValue(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined || first.trim() === "" ? undefined : first.trim();
}

/** All members of a list field (RFC 9110 §5.6.1), in lower case. */
function listValues(headers: ResponseHeaders, name: string): string[] {
  const value = headers[name];
  const whole = Array.isArray(value) ? value.join(",") : (value ?? "");
  return whole
    .split(",")
    .map((member) => member.trim().toLowerCase())
    .filter((member) => member !== "");
}

/** A non-negative integer that a number holds exactly; undefined for anything else. */
function naturalNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `X-PyPI-Last-Serial` (facts/pypi.md §1.5); undefined where it is absent, as it may be on a 304, or not a number. */
export function lastSerial(headers: ResponseHeaders): number | undefined {
  return naturalNumber(fieldValue(headers, "x-pypi-last-serial"));
}

/** `Content-Length` in bytes; undefined where the length is not announced. */
export function announcedBytes(headers: ResponseHeaders): number | undefined {
  return naturalNumber(fieldValue(headers, "content-length"));
}

/** `Age` (RFC 9111 §5.1) in milliseconds; 0 where absent or invalid, which is what pypi.org sends. */
export function ageMs(headers: ResponseHeaders): Ms {
  return (naturalNumber(fieldValue(headers, "age")) ?? 0) * 1000;
}

/** Upstream's `Date`, or the time of receipt where it sent none that is valid (RFC 9110 §6.6.1). */
export function originDate(headers: ResponseHeaders, receivedAt: EpochMs): string {
  const date = fieldValue(headers, "date");
  return date !== undefined && parseHttpDate(date) !== undefined ? date : new Date(receivedAt).toUTCString();
}

/**
 * `Retry-After` (RFC 9110 §10.2.3), seconds or an HTTP-date, as a span from `now`: 0 for a date that has passed,
 * undefined where the field is absent or neither.
 */
export function retryAfterMs(headers: ResponseHeaders, now: EpochMs): Ms | undefined {
  const value = fieldValue(headers, "retry-after");
  if (value === undefined) return undefined;
  const seconds = naturalNumber(value);
  if (seconds !== undefined) return seconds * 1000;
  const at = parseHttpDate(value);
  return at === undefined ? undefined : Math.max(0, at - now);
}

/** What is left of a limit on requests. */
export interface RateLimit {
  readonly left: number;
  /** When there is more again. */
  readonly resetMs: Ms;
}

// draft-ietf-httpapi-ratelimit-headers-10 §4: `"default";r=50;t=30`, a list of them where there are several limits.
const RATE_LIMIT_ITEM = /^\s*(?:"[^"]*"|[\w*.-]+)((?:\s*;\s*[a-z]+=[^;,\s]+)+)\s*$/;

/** `RateLimit`, of several the one of which least is left; undefined where it is absent or in another form. */
export function rateLimit(headers: ResponseHeaders): RateLimit | undefined {
  const limits = (fieldValue(headers, "ratelimit") ?? "").split(",").map((item) => {
    const [, parameters = ""] = RATE_LIMIT_ITEM.exec(item) ?? [];
    const left = naturalNumber(/;\s*r=(\d+)/.exec(parameters)?.[1]);
    const seconds = naturalNumber(/;\s*t=(\d+)/.exec(parameters)?.[1]);
    return left === undefined || seconds === undefined ? undefined : { left, resetMs: seconds * 1000 };
  });
  const said = limits.filter((limit) => limit !== undefined);
  return said.length === 0 ? undefined : said.reduce((a, b) => (b.left < a.left ? b : a));
}

/** The coding of the body (RFC 9110 §8.4); undefined for one that was not asked for, or for several. */
export function contentCoding(headers: ResponseHeaders): Coding | undefined {
  const codings = listValues(headers, "content-encoding").filter((coding) => coding !== "identity");
  if (codings.length === 0) return "identity";
  // RFC 9110 §8.4.1.3: x-gzip is to be taken for gzip.
  return codings.length === 1 && (codings[0] === "gzip" || codings[0] === "x-gzip") ? "gzip" : undefined;
}

// facts/pypi.md §1.5, §10.1: 22 characters of base64, no padding, always strong.
const MD5_ETAG = /^"([A-Za-z0-9+/]{22})"$/;

/** The MD5 (base64, no padding) that an ETag of PyPI's form states of the bytes as sent; undefined for other forms. */
export function etagChecksum(etag: string | undefined): string | undefined {
  return etag === undefined ? undefined : MD5_ETAG.exec(etag)?.[1];
}
