import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { pypiJson } from "../support/upstream/documents.ts";

let upstream: FakeUpstream;
let larder: TestLarder;

// Integer-like versions that JavaScript would move to the front, a label that it would lose, raw UTF-8, no escapes.
const TRICKY = Buffer.from(
  '{"info":{"description":"see https://files.pythonhosted.org/packages/aa/bb/cc/x.whl ünï ☕",' +
    '"project_urls":{"__proto__":"https://example.org","url":"https://files.pythonhosted.org/packages/a/b/c"},"version":"2013"},' +
    '"last_serial":77,"releases":{"2015.06":[],"10":[],"2013":[{"url":"https://files.pythonhosted.org/packages/aa/bb/cc/x.whl"}]},' +
    '"urls":[{"url":"https://files.pythonhosted.org/packages/aa/bb/cc/x.whl"}]}\n',
);

beforeAll(async () => {
  upstream = await startUpstream();
  upstream.project("Django", { serial: 41, releases: ["1.0", "2.0"] });
  upstream.project("tricky", { serial: 77, body: TRICKY });
  larder = await startLarder({ upstream });
});

afterAll(async () => {
  await larder.close();
  await upstream.close();
});

describe("a project's document", () => {
  it.each(["Django", "django", "DJANGO", "dJaNgO"])("is not redirected for the spelling %s", async (name) => {
    expect((await larder.get(`/pypi/${name}/json`)).status).toBe(200);
  });

  it("is one cache entry for all spellings of the name", async () => {
    upstream.project("zope.interface", { serial: 5 });
    const spellings = [
      "zope.interface",
      "Zope-Interface",
      "ZOPE_interface",
      "zope--interface",
      "zope%2Einterface",
    ];
    const answers = await Promise.all(spellings.map((name) => larder.get(`/pypi/${name}/json`)));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
    expect(upstream.count("/pypi/zope-interface/json")).toBe(1);
  });

  it("goes out as the bytes that PyPI wrote, in every coding", async () => {
    for (const coding of ["identity", "gzip", "zstd", "gzip, deflate"]) {
      const answer = await larder.get("/pypi/tricky/json", { headers: { "accept-encoding": coding } });
      expect(answer.decoded.equals(TRICKY)).toBe(true);
    }
  });

  it("has PyPI's header fields, and upstream's own Date, not the runtime's", async () => {
    const { headers } = await larder.get("/pypi/tricky/json");
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "x-pypi-last-serial": "77",
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET",
      "access-control-allow-headers":
        "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since",
      "access-control-max-age": "86400",
      "access-control-expose-headers": "X-PyPI-Last-Serial",
      vary: "Accept-Encoding",
      "content-length": String(TRICKY.length),
    });
    expect(headers["content-encoding"]).toBeUndefined();
    expect(headers.etag).toMatch(/^"[^"]{20,}"$/);
  });

  it("ignores the query string", async () => {
    await larder.get("/pypi/django/json");
    const before = upstream.requests.length;
    expect((await larder.get("/pypi/django/json?bust=1")).status).toBe(200);
    expect(upstream.requests.length).toBe(before);
  });

  it("is encoded only when asked, and HEAD has the same fields as GET", async () => {
    for (const headers of [{}, { "accept-encoding": "gzip" }, { "accept-encoding": "br" }]) {
      const get = await larder.get("/pypi/django/json", { headers });
      const head = await larder.get("/pypi/django/json", { method: "HEAD", headers });
      expect(head.body).toHaveLength(0);
      expect(head.headers).toEqual(get.headers);
      expect(get.headers["content-encoding"]).toBe(
        "accept-encoding" in headers && headers["accept-encoding"] === "gzip" ? "gzip" : undefined,
      );
    }
  });

  it("answers OPTIONS with the whole document and CORS, without a validator, on no condition", async () => {
    const answer = await larder.get("/pypi/tricky/json", {
      method: "OPTIONS",
      headers: { "if-none-match": "*" },
    });
    expect(answer.status).toBe(200);
    expect(answer.body.equals(TRICKY)).toBe(true);
    expect(answer.headers["access-control-allow-origin"]).toBe("*");
    expect(answer.headers.etag).toBeUndefined();
  });
});

describe("validators", () => {
  it("differ between codings, and each gives 304 for its own only", async () => {
    const gzip = await larder.get("/pypi/django/json", { headers: { "accept-encoding": "gzip" } });
    const identity = await larder.get("/pypi/django/json");
    expect(gzip.headers.etag).not.toBe(identity.headers.etag);
    const etag = String(gzip.headers.etag);
    const same = await larder.get("/pypi/django/json", {
      headers: { "accept-encoding": "gzip", "if-none-match": etag },
    });
    expect(same.status).toBe(304);
    expect(same.body).toHaveLength(0);
    const other = await larder.get("/pypi/django/json", { headers: { "if-none-match": etag } });
    expect(other.status).toBe(200);
  });

  it("come back with the 304, and so do Date, Cache-Control, Vary, the serial and CORS", async () => {
    const first = await larder.get("/pypi/django/json");
    const { status, headers } = await larder.get("/pypi/django/json", {
      headers: { "if-none-match": String(first.headers.etag) },
    });
    expect(status).toBe(304);
    for (const name of [
      "etag",
      "date",
      "vary",
      "x-pypi-last-serial",
      "access-control-allow-origin",
      "cache-control",
      "age",
    ]) {
      expect(headers[name], name).toBe(first.headers[name]);
    }
    expect(headers["content-length"]).toBeUndefined();
    expect(headers["cache-status"]).toMatch(/^larder; hit; ttl=\d+$/);
  });

  it("are not upstream's, for the bytes need not be", async () => {
    const answer = await larder.get("/pypi/django/json");
    const md5 = createHash("md5").update(answer.body).digest("base64").replace(/=+$/, "");
    expect(answer.headers.etag).not.toBe(`"${md5}"`);
  });
});

describe("a release's document", () => {
  it("is answered for the version as spelled", async () => {
    const answer = await larder.get("/pypi/Django/1.0/json");
    expect(JSON.parse(answer.body.toString())).toMatchObject({ info: { version: "1.0" } });
    expect((await larder.get("/pypi/django/9.9/json")).status).toBe(404);
  });

  it("is stored once for the spellings that upstream says are one release", async () => {
    upstream.project("spelled", { serial: 3, releases: [{ version: "1.0", spellings: ["1.0.0", "v1.0"] }] });
    expect((await larder.get("/pypi/spelled/1.0.0/json")).cacheStatus).toContain("fwd=miss");
    expect((await larder.get("/pypi/spelled/1.0/json")).cacheStatus).toContain("hit");
    expect((await larder.get("/pypi/spelled/1.0.0/json")).cacheStatus).toContain("hit");
    expect((await larder.get("/pypi/spelled/v1.0/json")).cacheStatus).toContain("fwd=miss");
    expect(upstream.count(/^\/pypi\/spelled\//)).toBe(2);
  });

  it("of two releases that PEP 440 calls equal stays its own", async () => {
    upstream.project("twins", { serial: 3, releases: ["0.12.1", "0.12.01"] });
    for (const version of ["0.12.1", "0.12.01", "0.12.1"]) {
      const answer = await larder.get(`/pypi/twins/${version}/json`);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ info: { version } });
    }
  });

  it("does not take an upstream at its word that describes another version", async () => {
    upstream.project("latest-only", { serial: 3, releases: ["2.0"] });
    upstream.release("latest-only", "1.0", {
      body: pypiJson({ info: { version: "2.0" }, last_serial: 3, urls: [] }),
    });
    await larder.get("/pypi/latest-only/1.0/json");
    expect((await larder.get("/pypi/latest-only/2.0/json")).cacheStatus).toContain("fwd=miss");
  });
});

describe("what is no document", () => {
  it("is PyPI's own 404: 24 bytes, with CORS", async () => {
    const { status, headers, body } = await larder.get("/pypi/no-such-project/json");
    expect(status).toBe(404);
    expect(body.toString()).toBe('{"message": "Not Found"}');
    expect(headers["content-type"]).toBe("application/json");
    expect(headers["access-control-allow-origin"]).toBe("*");
    expect(headers.etag).toBeUndefined();
    expect(headers["x-pypi-last-serial"]).toBeUndefined();
  });

  it.each([
    ["/pypi/Foo.Bar/json/", "/pypi/foo-bar/json"],
    ["/pypi/Foo/1.0/json/", "/pypi/foo/1.0/json"],
    ["/pypi/Foo/1.0+x!1/json/", "/pypi/foo/1.0+x!1/json"],
    ["/pypi/Foo/json/?x=1", "/pypi/foo/json"],
  ])("redirects %s by path alone, without asking upstream", async (path, location) => {
    const before = upstream.requests.length;
    const { status, headers } = await larder.get(path);
    expect([status, headers.location]).toEqual([301, location]);
    expect(upstream.requests.length).toBe(before);
  });

  it.each(["POST", "PUT", "DELETE", "PATCH"])("refuses %s with 405 and Allow", async (method) => {
    const { status, headers } = await larder.get("/pypi/django/json", { method, body: "x".repeat(100) });
    expect([status, headers.allow]).toEqual([405, "GET, HEAD, OPTIONS"]);
    expect(headers["content-type"]).toMatch(/^text\/plain/);
    expect(headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("reads // as /, and works under any Host", async () => {
    expect((await larder.get("//pypi//django//json")).status).toBe(200);
    expect((await larder.get("/pypi/django/json", { headers: { host: "pypi.org" } })).status).toBe(200);
    expect((await larder.get("/pypi/django/json", { headers: { host: "my_larder_1" } })).status).toBe(200);
  });

  it("says Cache-Status on every answer", async () => {
    for (const path of [
      "/",
      "/healthz",
      "/readyz",
      "/metrics",
      "/nowhere",
      "/pypi/x/json/",
      "/pypi/../x",
      "/pypi/none/json",
    ]) {
      expect((await larder.get(path)).cacheStatus, path).toMatch(/^larder; /);
    }
  });
});

describe("the upstream side", () => {
  it("is told who larder is and nothing of the client", async () => {
    upstream.project("private", {});
    await larder.get("/pypi/private/json", {
      headers: {
        authorization: "Basic c2VjcmV0",
        cookie: "a=b",
        "user-agent": "pip/26.3",
        "x-forwarded-for": "10.1.1.1",
      },
    });
    const { headers } = await upstream.arrived(1, "/pypi/private/json");
    expect(headers["user-agent"]).toMatch(/^larder\/\d/);
    expect(headers["accept-encoding"]).toBe("gzip");
    expect(headers.authorization).toBeUndefined();
    expect(headers.cookie).toBeUndefined();
    expect(headers["x-forwarded-for"]).toBeUndefined();
  });
});
