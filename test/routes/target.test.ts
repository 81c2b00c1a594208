import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readTarget } from "../../src/routes/target.ts";

describe("readTarget", () => {
  it.each([
    ["/pypi/django/json", "/pypi/django/json", ""],
    ["/pypi/django/json?x=1&y", "/pypi/django/json", "x=1&y"],
    ["//pypi///django//json", "/pypi/django/json", ""],
    ["http://larder:8080/pypi/django/json", "/pypi/django/json", ""],
    ["/pypi/a%2Cb/json", "/pypi/a%2Cb/json", ""],
    ["", "/", ""],
    ["*", "/*", ""],
  ])("reads %s as %s", (raw, path, query) => {
    expect(readTarget(raw, "")).toMatchObject({ path, query });
  });

  it.each([
    ["/proxy/pypi/django/json", "/pypi/django/json"],
    ["/proxy", "/"],
    ["/proxy/", "/"],
    ["/proxyish/x", "/proxyish/x"],
    ["/pypi/django/json", "/pypi/django/json"],
  ])("takes the public prefix off %s where it is still on", (raw, path) => {
    expect(readTarget(raw, "/proxy")).toMatchObject({ path });
  });

  it.each([
    ["/pypi/pypi/demo/1.0/json", "/pypi/demo/1.0/json"],
    ["/pypi/demo/1.0/json", "/pypi/demo/1.0/json"],
    ["/pypi/simple/demo/", "/simple/demo/"],
    ["/simple/demo/", "/simple/demo/"],
    ["/pypi/packages/aa/bb/cc/x.whl", "/packages/aa/bb/cc/x.whl"],
    ["/pypi/", "/"],
  ])(
    "tells %s from a path with the prefix off, where the prefix is called as a root of larder's",
    (raw, path) => {
      expect(readTarget(raw, "/pypi")).toMatchObject({ path });
    },
  );

  it("tells whether a slash had to be taken out, against which a client would resolve what is relative", () => {
    expect(readTarget("/simple/demo/", "")).toMatchObject({ isAsSent: true });
    expect(readTarget("/simple//demo/", "")).toMatchObject({ isAsSent: false });
    expect(readTarget("/proxy/simple/demo/", "/proxy")).toMatchObject({ isAsSent: true });
  });

  it.each([
    "/pypi/../etc/passwd",
    "/pypi/%2e%2e/json",
    "/pypi/%2E./json",
    "/.",
    "/pypi/a%zz/json",
    "/pypi/a%/json",
    "/pypi/%ff/json",
    "/pypi/a\\b/json",
    "/pypi/a b/json",
    "/pypi/é/json",
    "/pypi/a\u0000/json",
    `/pypi/${"a".repeat(10_000)}/json`,
  ])("refuses %s with a reason", (raw) => {
    expect(readTarget(raw, "")).toMatchObject({ status: 400, reason: expect.stringMatching(/\w/) as string });
  });

  it("never lets a dot segment, a double slash or a raw control through, whatever comes", () => {
    const piece = fc.constantFrom(
      "/",
      "//",
      ".",
      "..",
      "%2e",
      "%2F",
      "a",
      "\\",
      "?",
      "#",
      "%00",
      " ",
      "http://h",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const target = readTarget(pieces.join(""), "");
        if ("reason" in target) return;
        expect(target.path).toMatch(/^\/[\x21-\x7e]*$/);
        expect(target.path).not.toContain("//");
        for (const segment of target.path.split("/")) {
          expect([".", ".."]).not.toContain(decodeURIComponent(segment));
        }
      }),
    );
  });
});
