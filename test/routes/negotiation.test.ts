import { describe, expect, it } from "vitest";
import { negotiateCoding } from "../../src/routes/accept-encoding.ts";
import { asksNoCache, isModifiedSince, isNoneMatch } from "../../src/routes/conditional.ts";

describe("negotiateCoding", () => {
  it.each([
    [undefined, "identity"],
    ["", "identity"],
    ["gzip, deflate", "gzip"], // pip
    ["gzip, deflate, zstd", "zstd"], // uv, poetry
    ["gzip, deflate, br, zstd", "zstd"], // renovate
    ["br", "identity"],
    ["deflate", "identity"],
    ["identity", "identity"],
    ["*", "zstd"],
    ["gzip;q=0", "identity"],
    ["gzip;q=0, *", "zstd"],
    ["zstd;q=0.5, gzip;q=0.8", "gzip"],
    ["identity;q=1, gzip;q=0.5", "identity"],
    ["GZIP ; Q=1.0", "gzip"],
    ["x-gzip", "gzip"],
    ["gzip;q=nonsense", "identity"],
    ["gzip;q=7, zstd;q=0.1", "zstd"],
    [",,;;=,", "identity"],
  ])("answers Accept-Encoding %s in %s", (header, coding) => {
    expect(negotiateCoding(header, ["zstd", "gzip"])).toBe(coding);
  });
});

describe("isModifiedSince", () => {
  const MODIFIED = "Tue, 13 Oct 2020 09:03:46 GMT";
  it.each([
    [undefined, true],
    ["Tue, 13 Oct 2020 09:03:45 GMT", true],
    [MODIFIED, false],
    ["Tue, 13 Oct 2020 09:03:47 GMT", false],
    ["2030", true], // no HTTP-date: to be ignored (RFC 9110 §13.1.3)
    ["tomorrow", true],
  ])("lets %s have the answer: %s", (header, isSent) => {
    expect(isModifiedSince(header, MODIFIED)).toBe(isSent);
    expect(isModifiedSince(header, undefined)).toBe(true);
  });
});

describe("isNoneMatch", () => {
  it.each([
    ['"abc"', true],
    ['W/"abc"', true],
    ['"x", "abc"', true],
    ['"x","abc" , "y"', true],
    ["*", true],
    ['"ab"', false],
    ["abc", false],
    ["", false],
    [undefined, false],
    ['"a,b", "abc"', true],
  ])("of %s is %s", (header, matches) => {
    expect(isNoneMatch(header, '"abc"')).toBe(matches);
  });
});

describe("asksNoCache", () => {
  it.each([
    ["no-cache", undefined, true],
    ["max-age=0, No-Cache", undefined, true],
    ["max-age=0", undefined, false], // every pip up to 26.1, with each page
    ["max-age=0", "no-cache", false],
    [undefined, "no-cache", true],
    ["no-cached-thing", undefined, false],
    [undefined, undefined, false],
  ])("of Cache-Control %s, Pragma %s is %s", (cacheControl, pragma, asks) => {
    expect(asksNoCache(cacheControl, pragma)).toBe(asks);
  });
});
