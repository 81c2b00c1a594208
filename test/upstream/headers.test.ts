import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ageMs,
  contentCoding,
  etagChecksum,
  fieldValue,
  lastSerial,
  originDate,
  retryAfterMs,
} from "../../src/upstream/headers.ts";
import { parseHttpDate } from "../../src/http-date.ts";

const NOW = Date.UTC(2026, 7, 21, 12);

describe("fieldValue", () => {
  it("takes the first of a repeated field, and an empty one for absent", () => {
    expect(fieldValue({ etag: ['"a"', '"b"'] }, "etag")).toBe('"a"');
    expect(fieldValue({ etag: " " }, "etag")).toBeUndefined();
    expect(fieldValue({}, "etag")).toBeUndefined();
  });
});

describe("lastSerial", () => {
  it("reads every serial that a number holds", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (serial) => {
        expect(lastSerial({ "x-pypi-last-serial": String(serial) })).toBe(serial);
      }),
    );
  });

  it.each(["", "-1", "1.5", "1e3", "0x10", "99999999999999999999", "12 34", "abc"])(
    "is undefined for %j",
    (text) => {
      expect(lastSerial({ "x-pypi-last-serial": text })).toBeUndefined();
    },
  );
});

describe("HTTP-dates", () => {
  it("are read back as they are written, to the second", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
        expect(parseHttpDate(new Date(seconds * 1000).toUTCString())).toBe(seconds * 1000);
      }),
    );
  });

  it.each(["2024", "21 Aug 2026", "2026-08-21T12:00:00Z", "Fri, 99 Aug 2026 12:00:00 GMT", "0", ""])(
    "are not %j",
    (text) => expect(parseHttpDate(text)).toBeUndefined(),
  );

  it("fall back to the time of receipt in `Date`", () => {
    expect(originDate({ date: "Fri, 21 Aug 2026 11:59:00 GMT" }, NOW)).toBe("Fri, 21 Aug 2026 11:59:00 GMT");
    expect(originDate({ date: "now" }, NOW)).toBe("Fri, 21 Aug 2026 12:00:00 GMT");
    expect(originDate({}, NOW)).toBe("Fri, 21 Aug 2026 12:00:00 GMT");
  });
});

describe("retryAfterMs", () => {
  it.each([
    ["120", 120_000],
    ["0", 0],
    ["Fri, 21 Aug 2026 12:00:30 GMT", 30_000],
    ["Fri, 21 Aug 2026 11:00:00 GMT", 0],
    ["-5", undefined],
    ["1.5", undefined],
    ["soon", undefined],
  ])("reads %j as %j", (value, expected) => {
    expect(retryAfterMs({ "retry-after": value }, NOW)).toBe(expected);
  });
});

describe("ageMs", () => {
  it.each([
    ["30", 30_000],
    ["-1", 0],
    ["old", 0],
    [undefined, 0],
  ])("reads %j as %j", (age, expected) => expect(ageMs({ age })).toBe(expected));
});

describe("contentCoding", () => {
  it.each([
    [undefined, "identity"],
    ["", "identity"],
    ["identity", "identity"],
    ["gzip", "gzip"],
    ["GZIP", "gzip"],
    ["x-gzip", "gzip"],
    ["identity, gzip", "gzip"],
    ["br", undefined],
    ["gzip, gzip", undefined],
    ["gzip, br", undefined],
  ])("of %j is %j", (value, expected) => expect(contentCoding({ "content-encoding": value })).toBe(expected));

  it("counts a repeated field as one list", () => {
    expect(contentCoding({ "content-encoding": ["gzip", "gzip"] })).toBeUndefined();
  });
});

describe("etagChecksum", () => {
  it("is what a strong ETag of 22 base64 characters states", () => {
    expect(etagChecksum('"1B2M2Y8AsgTpgAmY7PhCfg"')).toBe("1B2M2Y8AsgTpgAmY7PhCfg");
    expect(etagChecksum('"+/2M2Y8AsgTpgAmY7PhCfg"')).toBe("+/2M2Y8AsgTpgAmY7PhCfg");
  });

  it.each([
    undefined,
    "",
    '"short"',
    'W/"1B2M2Y8AsgTpgAmY7PhCfg"',
    "1B2M2Y8AsgTpgAmY7PhCfg",
    '"1B2M2Y8AsgTpgAmY7PhC-_"',
  ])("is undefined for %j", (etag) => expect(etagChecksum(etag)).toBeUndefined());
});
