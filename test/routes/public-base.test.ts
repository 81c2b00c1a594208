import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { publicBase, requestPrefix } from "../../src/routes/public-base.ts";

function requestWith(headers: Record<string, string>, remoteAddress = "10.0.0.9"): IncomingMessage {
  return {
    headers,
    socket: { remoteAddress, localAddress: "10.0.0.1", localPort: 8080 },
  } as unknown as IncomingMessage;
}

const byRequest = { publicUrl: undefined, isTrustedPeer: (address: string) => address === "10.0.0.2" };
const FORWARDED = {
  host: "larder:8080",
  "x-forwarded-proto": "https",
  "x-forwarded-host": "pypi.corp, inner",
  "x-forwarded-prefix": "/mirror/",
};

describe("publicBase", () => {
  it("is the configured one, whatever the request says", () => {
    const options = { ...byRequest, publicUrl: "https://pypi.corp/mirror" };
    expect(publicBase(requestWith({ host: "evil.example" }), options)).toBe("https://pypi.corp/mirror");
  });

  it.each(["larder:8080", "pypi.org", "127.0.0.1:8080", "[::1]:8080", "my_larder_1:80"])(
    "goes by the Host %s",
    (host) => {
      expect(publicBase(requestWith({ host }), byRequest)).toBe(`http://${host.toLowerCase()}`);
    },
  );

  it.each(["a b", "a/b", "a@b", "<script>", "a:b:c", "x".repeat(300)])(
    "never takes %s for a host",
    (host) => {
      expect(publicBase(requestWith({ host }), byRequest)).toBe("http://10.0.0.1:8080");
    },
  );

  it("believes X-Forwarded-* of a trusted peer only", () => {
    expect(publicBase(requestWith(FORWARDED, "10.0.0.2"), byRequest)).toBe("https://pypi.corp/mirror");
    expect(publicBase(requestWith(FORWARDED, "10.0.0.3"), byRequest)).toBe("http://larder:8080");
  });

  it("keeps redirects inside the prefix that is public", () => {
    expect(requestPrefix(requestWith(FORWARDED, "10.0.0.2"), byRequest)).toBe("/mirror");
    expect(requestPrefix(requestWith(FORWARDED, "10.0.0.3"), byRequest)).toBe("");
    expect(requestPrefix(requestWith({}), { ...byRequest, publicUrl: "https://pypi.corp/a/b" })).toBe("/a/b");
  });

  it("does not take a prefix for one that is none", () => {
    const headers = { ...FORWARDED, "x-forwarded-prefix": "//evil.example" };
    expect(requestPrefix(requestWith(headers, "10.0.0.2"), byRequest)).toBe("");
  });
});
