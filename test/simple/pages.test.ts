import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import type { Package } from "../support/packages/build.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
const HTML_TYPE = "application/vnd.pypi.simple.v1+html";
const MINUTE_MS = 60_000;
const DEMO: Package = {
  name: "Demo",
  serial: 40,
  releases: [
    { version: "1.0", yanked: "broken & sad", hasProvenance: true },
    { version: "2.0", requiresPython: ">=3.8,<4", hasProvenance: true },
  ],
};

let upstream: FakeUpstream;
let larder: TestLarder;

const simple = (path: string, accept?: string, headers: Record<string, string> = {}) =>
  larder.get(path, { headers: { ...(accept !== undefined && { accept }), ...headers } });

describe("a project's page", () => {
  beforeAll(async () => {
    upstream = await startUpstream();
    upstream.publish(DEMO);
    larder = await startLarder({
      upstream,
      env: { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url },
    });
  });

  afterAll(async () => {
    await larder.close();
    await upstream.close();
  });

  it.each([
    [undefined, "text/html"],
    ["*/*", "text/html"],
    ["application/json", "text/html"],
    ["text/html", "text/html"],
    ["nonsense", "text/html"],
    ["application/*", HTML_TYPE],
    [HTML_TYPE, HTML_TYPE],
    ["application/vnd.pypi.simple.latest+html", HTML_TYPE],
    [JSON_TYPE, JSON_TYPE],
    ["application/vnd.pypi.simple.latest+json", JSON_TYPE],
    [`${JSON_TYPE}, ${HTML_TYPE}; q=0.1, text/html; q=0.01`, JSON_TYPE], // pip
    [`${JSON_TYPE}, ${HTML_TYPE}, text/html;q=0.01`, JSON_TYPE], // pypi-simple: a tie
    [`${JSON_TYPE}, */*;q=0.1`, JSON_TYPE], // poetry
    [`${JSON_TYPE};q=0, text/html`, "text/html"],
  ])("is answered to Accept %s as %s, never with 406", async (accept, type) => {
    const { status, headers } = await simple("/simple/demo/", accept);
    expect([status, headers["content-type"]]).toEqual([200, type]);
    expect(headers.vary).toBe("Accept, Accept-Encoding");
    expect(headers["x-pypi-last-serial"]).toMatch(/^\d+$/);
    expect(headers["access-control-allow-origin"]).toBe("*");
  });

  it("is chosen by ?format= before Accept", async () => {
    const { headers } = await simple(`/simple/demo/?format=${JSON_TYPE}`, "text/html");
    expect(headers["content-type"]).toBe(JSON_TYPE);
  });

  it("costs one request upstream for each form, whatever it is called", async () => {
    for (const accept of [undefined, "text/html", HTML_TYPE, JSON_TYPE, `${JSON_TYPE}, */*;q=0.1`]) {
      await simple("/simple/demo/", accept, { "accept-encoding": "gzip" });
    }
    expect(upstream.count("/simple/demo/")).toBe(2);
  });

  it("keeps all that PyPI says, and differs only in where files and attestations are", async () => {
    const direct = await fetch(`${upstream.url}/simple/demo/`, { headers: { accept: JSON_TYPE } });
    const original = await direct.text();
    const { body } = await simple("/simple/demo/", JSON_TYPE);
    const restored = body
      .toString()
      .replaceAll('"url":"../../packages/', `"url":"${upstream.url}/packages/`)
      .replaceAll(`"provenance":"${larder.url}/integrity/`, `"provenance":"${upstream.url}/integrity/`);
    expect(restored).toBe(original);
    expect(body.toString()).toContain('"url":"../../packages/');
  });

  it("in HTML differs only in where files and attestations are, too", async () => {
    const direct = await fetch(`${upstream.url}/simple/demo/`, { headers: { accept: "text/html" } });
    const original = await direct.text();
    const { body } = await simple("/simple/demo/", "text/html");
    expect(body.toString()).toContain('href="../../packages/');
    const restored = body
      .toString()
      .replaceAll('"../../packages/', `"${upstream.url}/packages/`)
      .replaceAll(`"${larder.url}/integrity/`, `"${upstream.url}/integrity/`);
    expect(restored).toBe(original);
  });

  it("names the same URL for each file as the JSON API, character by character once resolved", async () => {
    const page = JSON.parse((await simple("/simple/demo/", JSON_TYPE)).body.toString()) as {
      files: { url: string }[];
    };
    const document = JSON.parse((await larder.get("/pypi/demo/json")).body.toString()) as {
      releases: Record<string, { url: string }[]>;
    };
    const byPage = page.files.map(({ url }) => new URL(url, `${larder.url}/simple/demo/`).href).sort();
    const byDocument = Object.values(document.releases)
      .flat()
      .map(({ url }) => url)
      .sort();
    expect(byPage.length).toBeGreaterThan(1);
    expect(byPage).toEqual(byDocument);
    for (const url of byPage) expect(url.startsWith(`${larder.url}/packages/`)).toBe(true);
  });

  it("has strong ETags, one for each form and coding, and gives 304 with all that a client needs", async () => {
    const tags = new Set<string>();
    for (const accept of [JSON_TYPE, "text/html", HTML_TYPE]) {
      for (const coding of ["identity", "gzip", "zstd"]) {
        const { headers } = await simple("/simple/demo/", accept, { "accept-encoding": coding });
        tags.add(String(headers.etag));
        const again = await simple("/simple/demo/", accept, {
          "accept-encoding": coding,
          "if-none-match": String(headers.etag),
        });
        expect([again.status, again.headers.etag, again.body.length]).toEqual([304, headers.etag, 0]);
        expect(again.headers.date).toBe(headers.date);
      }
    }
    expect(tags.size).toBe(9);
    for (const tag of tags) expect(tag).toMatch(/^"[^"]+"$/);
  });

  it.each([
    ["/simple", "/simple/"],
    ["/simple/demo", "/simple/demo/"],
    ["/simple/nope", "/simple/nope/"],
    ["/simple/Demo.Two", "/simple/Demo.Two/"],
    ["/simple/Demo.Two/", "/simple/demo-two/"],
    ["//simple//demo", "/simple/demo/"],
  ])("redirects %s to %s, by path alone", async (path, location) => {
    const { status, headers } = await larder.get(path);
    expect([status, headers.location]).toEqual([301, location]);
    expect([headers.vary, headers["access-control-allow-origin"]]).toEqual(["Accept, Accept-Encoding", "*"]);
  });

  it("reads // as /, and then names files absolutely, for relative ones would lead astray", async () => {
    const { status, body } = await simple("/simple//demo/", JSON_TYPE);
    expect(status).toBe(200);
    const [file] = (JSON.parse(body.toString()) as { files: { url: string }[] }).files;
    expect(file!.url.startsWith(`${larder.url}/packages/`)).toBe(true);
  });

  it("that is not there is PyPI's own 404, quick and short", async () => {
    const { status, headers, body } = await simple("/simple/nope/", JSON_TYPE);
    expect([status, body.toString()]).toEqual([404, "404 Not Found"]);
    expect(headers["content-type"]).toBe("text/plain; charset=UTF-8");
    const asked = upstream.count("/simple/nope/");
    await simple("/simple/nope/", JSON_TYPE);
    expect(upstream.count("/simple/nope/")).toBe(asked);
  });

  it("answers HEAD as GET", async () => {
    const get = await simple("/simple/demo/", JSON_TYPE);
    const head = await larder.get("/simple/demo/", { method: "HEAD", headers: { accept: JSON_TYPE } });
    expect(head.headers).toEqual(get.headers);
  });

  it.each(["/simple/pypi/demo/json", "/demo/json"])(
    "finds the JSON API at %s too, as pip-tools asks",
    async (path) => {
      const alias = await larder.get(path);
      expect(alias.status).toBe(200);
      expect(alias.body.equals((await larder.get("/pypi/demo/json")).body)).toBe(true);
    },
  );

  it.each(["/pypi/demo/", "/pypi/demo"])(
    "is not to be had at %s: renovate would take a page for an index",
    async (path) => {
      expect((await larder.get(path)).status).toBe(404);
    },
  );
});

describe("one project, many surfaces", () => {
  beforeEach(async () => {
    upstream = await startUpstream();
    upstream.publish(DEMO);
    larder = await startLarder({
      upstream,
      env: { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url },
    });
  });

  afterEach(async () => {
    await larder.close();
    await upstream.close();
  });

  it("a newer serial on one ends the freshness of the others", async () => {
    const before = await simple("/simple/demo/", JSON_TYPE);
    await simple("/simple/demo/", "text/html");
    upstream.project("demo", { serial: 999_999 });
    await larder.get("/pypi/demo/json");
    const asked = upstream.count("/simple/demo/");
    await simple("/simple/demo/", JSON_TYPE);
    await simple("/simple/demo/", "text/html");
    expect(upstream.count("/simple/demo/")).toBe(asked + 2);
    expect(before.status).toBe(200);
  });

  it("one confirmation serves all of one serial, up to their own check", async () => {
    await larder.get("/pypi/demo/json");
    larder.clock.advance(9 * MINUTE_MS);
    await simple("/simple/demo/", JSON_TYPE);
    const asked = upstream.requests.length;
    larder.clock.advance(5 * MINUTE_MS);
    expect((await larder.get("/pypi/demo/json")).cacheStatus).toBe("larder; hit; ttl=60");
    expect(upstream.requests.length).toBe(asked);
    larder.clock.advance(MINUTE_MS);
    expect((await larder.get("/pypi/demo/json")).cacheStatus).toBe("larder; hit; ttl=0");
  });

  it("trouble is never a 404, and a page of the wrong kind is never stored", async () => {
    for (const fault of [{ kind: "html" }, { kind: "not-json" }, { kind: "status", status: 500 }] as const) {
      const clear = upstream.fault(fault);
      for (const accept of [JSON_TYPE, "text/html"]) {
        const { status, headers } = await simple("/simple/demo/", accept);
        expect([status, headers["retry-after"]], `${fault.kind} ${accept}`).toEqual([503, "5"]);
      }
      clear();
    }
    expect((await simple("/simple/demo/", JSON_TYPE)).cacheStatus).toContain(
      "fwd=miss; fwd-status=200; stored",
    );
  });

  it("stays there without upstream, after a restart", async () => {
    const held = await simple("/simple/demo/", JSON_TYPE);
    const { url } = larder;
    await larder.stop();
    await upstream.down();
    const { clock, dataDirectory } = larder;
    larder = await startLarder({
      upstream,
      clock,
      dataDirectory,
      env: { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url },
    });
    clock.advance(48 * 60 * MINUTE_MS);
    const stale = await simple("/simple/demo/", JSON_TYPE);
    expect([stale.status, stale.body.toString()]).toEqual([
      200,
      held.body.toString().replaceAll(url, larder.url),
    ]);
    expect(stale.cacheStatus).toContain("detail=connect");
  });
});
