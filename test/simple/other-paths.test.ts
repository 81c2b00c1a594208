import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import type { BuiltPackage, Package } from "../support/packages/build.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";

const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
const DEMO: Package = {
  name: "Demo",
  serial: 40,
  releases: [
    { version: "1.0", hasProvenance: true },
    { version: "2.0", hasMetadata: false },
  ],
};

let upstream: FakeUpstream;
let larder: TestLarder;
let demo: BuiltPackage;

beforeAll(async () => {
  upstream = await startUpstream();
  [demo] = upstream.publish(DEMO) as [BuiltPackage];
  larder = await startLarder({
    upstream,
    env: { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url },
  });
});

afterAll(async () => {
  await larder.close();
  await upstream.close();
});

const fileOf = (version: string, kind: "wheel" | "sdist") =>
  demo.releases.find((release) => release.version === version)!.files.find((file) => file.kind === kind)!;

describe("metadata beside a file", () => {
  it("are the announced bytes, immutable, from the store ever after, in the coding asked for", async () => {
    const wheel = fileOf("1.0", "wheel");
    for (const coding of ["identity", "gzip"]) {
      const answer = await larder.get(`${wheel.path}.metadata`, { headers: { "accept-encoding": coding } });
      expect([answer.status, answer.decoded.equals(wheel.metadata!.bytes)]).toEqual([200, true]);
      expect(answer.headers["cache-control"]).toBe("max-age=365000000, immutable, public");
      expect(answer.headers.etag).toMatch(/^"/);
      const same = await larder.get(`${wheel.path}.metadata`, {
        headers: { "accept-encoding": coding, "if-none-match": String(answer.headers.etag) },
      });
      expect(same.status).toBe(304);
    }
    larder.clock.advance(400 * 86_400_000);
    // It is the index that says whether they are current; the files host is asked once.
    const later = await larder.get(`${wheel.path}.metadata`, { headers: { "cache-control": "no-cache" } });
    expect(later.cacheStatus).toBe("larder; fwd=stale; fwd-status=304; stored; ttl=600");
    expect(upstream.count(`${wheel.path}.metadata`)).toBe(1);
  });

  it("that are not those which the index announces are a 503 and are not stored; nor is trouble a 404", async () => {
    const [lied] = upstream.publish({ name: "lied", serial: 50, releases: [{ version: "1.0" }] });
    const wheel = lied!.releases[0]!.files[0]!;
    upstream.file(`${wheel.path}.metadata`, Buffer.from("Metadata-Version: 2.1\nName: other\n"));
    const wrong = await larder.get(`${wheel.path}.metadata`);
    expect([wrong.status, JSON.parse(wrong.body.toString())]).toMatchObject([
      503,
      { cause: "hash-mismatch" },
    ]);
    const clear = upstream.fault({ kind: "status", status: 500 }, { path: `${wheel.path}.metadata` });
    expect((await larder.get(`${wheel.path}.metadata`)).status).toBe(503);
    clear();
    upstream.file(`${wheel.path}.metadata`, wheel.metadata!.bytes);
    expect((await larder.get(`${wheel.path}.metadata`)).body.equals(wheel.metadata!.bytes)).toBe(true);
  });

  it("that are announced but not there are a 503: a 404 is fatal to pip and uv", async () => {
    const [early] = upstream.publish({ name: "early", serial: 51, releases: [{ version: "1.0" }] });
    const { path, metadata } = early!.releases[0]!.files[0]!;
    upstream.removeFile(`${path}.metadata`);
    expect((await larder.get(`${path}.metadata`)).status).toBe(503);
    upstream.file(`${path}.metadata`, metadata!.bytes);
    expect((await larder.get(`${path}.metadata`)).body.equals(metadata!.bytes)).toBe(true);
  });

  it("of a file that the held page is too old to know are proved by the newer page", async () => {
    upstream.publish({ name: "growing", serial: 52, releases: [{ version: "1.0" }] });
    await larder.get("/simple/growing/", { headers: { accept: JSON_TYPE } });
    larder.clock.advance(6_000);
    const [grown] = upstream.publish({
      name: "growing",
      serial: 53,
      releases: [{ version: "1.0" }, { version: "2.0" }],
    });
    const { path, metadata } = grown!.releases[1]!.files[0]!;
    upstream.file(`${path}.metadata`, Buffer.from("forged"));
    expect((await larder.get(`${path}.metadata`)).status).toBe(503);
    upstream.file(`${path}.metadata`, metadata!.bytes);
    expect((await larder.get(`${path}.metadata`)).cacheStatus).toContain("stored");
  });

  it("of a file whose name another has by now are not proved by those of the other", async () => {
    const [first] = upstream.publish({ name: "renamed", serial: 55, releases: [{ version: "1.0" }] });
    const old = first!.releases[0]!.files[0]!;
    const page = await fetch(`${upstream.url}/simple/renamed/`, { headers: { accept: JSON_TYPE } });
    const elsewhere = old.path.replace(/[0-9a-f]{60}/, "0".repeat(60));
    const text = (await page.text())
      .replaceAll(old.path, elsewhere)
      .replace('"_last-serial":55', '"_last-serial":56');
    upstream.simple("renamed", { json: Buffer.from(text), serial: 56 });
    // No longer announced: upstream's affair, and not stored as if it were proved.
    expect((await larder.get(`${old.path}.metadata`)).cacheStatus).toContain("detail=unannounced");
  });

  it("that the index has come to announce otherwise are fetched anew", async () => {
    const [first] = upstream.publish({ name: "mended", serial: 54, releases: [{ version: "1.0" }] });
    const wheel = first!.releases[0]!.files[0]!;
    await larder.get(`${wheel.path}.metadata`);
    const mended = Buffer.concat([wheel.metadata!.bytes, Buffer.from("Extra: 1\n")]);
    const sha256 = createHash("sha256").update(mended).digest("hex");
    upstream.file(`${wheel.path}.metadata`, mended);
    const page = await fetch(`${upstream.url}/simple/mended/`, { headers: { accept: JSON_TYPE } });
    const text = (await page.text())
      .replaceAll(wheel.metadata!.sha256, sha256)
      .replace('"_last-serial":54', '"_last-serial":55');
    upstream.simple("mended", { json: Buffer.from(text), serial: 55 });
    larder.clock.advance(3_600_000);
    expect((await larder.get(`${wheel.path}.metadata`)).body.equals(mended)).toBe(true);
  });

  it("that the index does not announce are asked for once by all who want them, and once more after a while", async () => {
    const path = `${fileOf("1.0", "sdist").path}.metadata`;
    const gate = upstream.hold(path);
    const answers = Array.from({ length: 10 }, () => larder.get(path));
    await upstream.arrived(1, path);
    gate.release();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(10).fill(404));
    const again = await larder.get(path);
    expect([again.status, again.cacheStatus]).toEqual([404, "larder; hit; ttl=60; detail=unannounced"]);
    expect(upstream.count(path)).toBe(1);
    larder.clock.advance(60_000);
    await larder.get(path);
    expect(upstream.count(path)).toBe(2);
  });

  it("say that they differ by Accept-Encoding", async () => {
    const { path } = fileOf("1.0", "wheel");
    expect((await larder.get(`${path}.metadata`)).headers.vary).toBe("Accept-Encoding");
  });

  it("that the index does not announce are upstream's affair, and never stored", async () => {
    const wheel = fileOf("2.0", "wheel");
    expect((await larder.get(`${wheel.path}.metadata`)).status).toBe(404);
    upstream.file(`${wheel.path}.asc`, Buffer.from("-----BEGIN PGP SIGNATURE-----\n"));
    const signature = await larder.get(`${wheel.path}.asc`);
    expect([signature.status, signature.cacheStatus]).toEqual([
      200,
      "larder; fwd=miss; fwd-status=200; detail=unannounced",
    ]);
  });
});

describe("a path as before 2016", () => {
  it("leads to where the file is on larder, as PyPI's redirector finds it", async () => {
    const sdist = fileOf("1.0", "sdist");
    const { status, headers } = await larder.get(`/packages/source/D/Demo/${sdist.filename}`);
    expect([status, headers.location]).toEqual([302, sdist.path]);
  });

  it("is 404 for what no release has", async () => {
    expect((await larder.get("/packages/source/D/Demo/Demo-9.9.tar.gz")).status).toBe(404);
    expect((await larder.get("/packages/py3/D/Demo/Demo-1.0.tar.gz")).status).toBe(404);
  });
});

describe("the root of the Simple API", () => {
  it("goes out as it is stored, or decoded, with its length, and costs one request for each form", async () => {
    for (const accept of [JSON_TYPE, "text/html"]) {
      const direct = await larder.get("/simple/", { headers: { accept, "accept-encoding": "gzip" } });
      const plain = await larder.get("/simple/", { headers: { accept } });
      expect(plain.body.equals(direct.decoded)).toBe(true);
      expect(plain.headers["content-length"]).toBe(String(plain.body.length));
      expect(plain.headers["content-encoding"]).toBeUndefined();
      expect(plain.headers.etag).not.toBe(direct.headers.etag);
      const original = await fetch(`${upstream.url}/simple/`, { headers: { accept } });
      expect(plain.body.toString()).toBe(await original.text());
      const head = await larder.get("/simple/", { method: "HEAD", headers: { accept } });
      expect(head.headers).toEqual(plain.headers);
      const same = await larder.get("/simple/", {
        headers: { accept, "if-none-match": String(plain.headers.etag) },
      });
      expect(same.status).toBe(304);
    }
    expect(upstream.count("/simple/")).toBe(2 + 2);
  });

  it("does not keep what came with an age from being served from the cache", async () => {
    const [aged] = upstream.publish({ name: "aged", serial: 60, releases: [{ version: "1.0" }] });
    expect(aged).toBeDefined();
    await larder.get("/simple/", { headers: { accept: JSON_TYPE } });
    const clear = upstream.fault({ kind: "headers", headers: { age: "300" } }, { path: "/pypi/aged/json" });
    for (let times = 0; times < 4; times++) expect((await larder.get("/pypi/aged/json")).status).toBe(200);
    clear();
    expect(upstream.count("/pypi/aged/json")).toBe(1);
  });

  it("of 40 MB is served in pieces, and never held decoded", async () => {
    const projects = Array.from(
      { length: 400_000 },
      (_, n) => `{"_last-serial":${n},"name":"${randomBytes(6).toString("hex")}-some-project-${n}"}`,
    );
    const huge = Buffer.from(
      `{"meta":{"_last-serial":1,"api-version":"1.4"},"projects":[${projects.join(",")}]}\n`,
    );
    const gzip = gzipSync(huge, { level: 1 });
    const server = createServer((_, response) => {
      response.writeHead(200, {
        "content-type": JSON_TYPE,
        "content-encoding": "gzip",
        "content-length": gzip.length,
        "x-pypi-last-serial": "7",
      });
      response.end(gzip);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const other = await startLarder({ upstream: { url: `http://127.0.0.1:${port}` } });
    try {
      const { body, headers } = await other.get("/simple/", { headers: { accept: JSON_TYPE } });
      expect(body.equals(huge)).toBe(true);
      expect(headers["content-length"]).toBe(String(huge.length));
      const metrics = (await other.get("/metrics")).body.toString();
      const held = /^larder_memory_bytes (\d+)$/m.exec(metrics)?.[1];
      expect(Number(held)).toBeLessThan(gzip.length + 10_000);
    } finally {
      await other.close();
      server.close();
    }
  });
});

describe("what else pypi.org has for machines", () => {
  it("provenance goes through the cache, 404 and 406 in its own words", async () => {
    const wheel = fileOf("1.0", "wheel");
    const path = `/integrity/Demo/1.0/${wheel.filename}/provenance`;
    const found = await larder.get(path);
    expect([found.status, found.headers["content-type"]]).toEqual([
      200,
      "application/vnd.pypi.integrity.v1+json",
    ]);
    expect(JSON.parse(found.body.toString())).toBeTypeOf("object");
    expect((await larder.get(path)).cacheStatus).toContain("hit");
    expect(
      (await larder.get(path, { headers: { accept: "application/json" } })).headers["content-type"],
    ).toBe("application/json");
    const refusing = "application/vnd.pypi.integrity.v1+json;q=0, application/json;q=0.5";
    expect((await larder.get(path, { headers: { accept: refusing } })).headers["content-type"]).toBe(
      "application/json",
    );
    expect((await larder.get(path, { headers: { accept: "image/png" } })).status).toBe(406);
    const none = await larder.get(`/integrity/demo/2.0/${fileOf("2.0", "wheel").filename}/provenance`);
    expect([none.status, none.body.toString()]).toEqual([
      404,
      `{"message":"No provenance available for ${fileOf("2.0", "wheel").filename}"}`,
    ]);
  });

  it("provenance and a project's feed have no serial, and say nothing of the project's documents", async () => {
    const short = await startLarder({
      upstream,
      env: { LARDER_FRESH: "10s", LARDER_PURGE_FROM: "loopback" },
    });
    try {
      const page = () => short.get("/simple/demo/", { headers: { accept: JSON_TYPE } });
      const provenance = `/integrity/Demo/1.0/${fileOf("1.0", "wheel").filename}/provenance`;
      await page();
      short.clock.advance(8_000);
      for (const path of [provenance, "/rss/project/demo/releases.xml"]) {
        const { status, headers } = await short.get(path);
        expect([status, headers["x-pypi-last-serial"]]).toEqual([200, undefined]);
      }
      short.clock.advance(4_000);
      const before = upstream.count("/simple/demo/");
      await page();
      await expect.poll(() => upstream.count("/simple/demo/")).toBe(before + 1);
      expect((await short.get(provenance)).headers.vary).toBe("Accept, Accept-Encoding");
      // Nor are they left out when the project is purged.
      await short.get("/simple/demo/", { method: "PURGE" });
      expect((await short.get(provenance)).cacheStatus).toContain("fwd=");
    } finally {
      await short.close();
    }
  });

  it.each(["/rss/updates.xml", "/rss/packages.xml", "/rss/project/Demo/releases.xml"])(
    "the feed %s is fresh for a minute",
    async (path) => {
      const feed = await larder.get(path);
      expect([feed.status, feed.headers["content-type"]]).toEqual([
        200,
        expect.stringMatching(/^text\/xml/) as string,
      ]);
      expect((await larder.get(path)).cacheStatus).toBe("larder; hit; ttl=60");
    },
  );

  it("the statistics are fresh for a day, in HTML and JSON", async () => {
    const html = await larder.get("/stats/");
    const json = await larder.get("/stats/", { headers: { accept: "application/json" } });
    expect(html.headers["content-type"]).toMatch(/^text\/html/);
    expect(json.headers["content-type"]).toMatch(/^application\/json/);
    expect((await larder.get("/stats/")).cacheStatus).toBe("larder; hit; ttl=86400");
  });
});

describe("a larder that stops", () => {
  it("does not wait for an upstream that says nothing of a file", async () => {
    const env = { LARDER_FILES_UPSTREAM: upstream.url, LARDER_SHUTDOWN: "1s" };
    const other = await startLarder({ upstream, env });
    const { path } = fileOf("2.0", "sdist");
    const clear = upstream.fault({ kind: "never-answer" }, { path });
    const asked = upstream.arrived(1, path);
    const answer = other.get(path).catch((error: unknown) => error);
    await asked;
    const closed = other.close();
    other.clock.advance(1_000);
    await closed;
    expect(await answer).toBeInstanceOf(Error);
    clear();
  });
});

describe("OPTIONS", () => {
  it.each([
    "/",
    "/simple/demo/",
    "/pypi/demo/json",
    "/rss/updates.xml",
    "/rss/project/demo/releases.xml",
    "/stats/",
    "/healthz",
    "/readyz",
    "/metrics",
  ])("is answered as GET on %s", async (path) => {
    expect((await larder.get(path, { method: "OPTIONS" })).status).toBe(200);
  });

  it("is answered as GET where another than 200 is the answer", async () => {
    const filename = fileOf("2.0", "wheel").filename;
    for (const [path, status] of [
      [`/integrity/demo/2.0/${filename}/provenance`, 404],
      ["/search/?q=x", 302],
      ["/account/login/", 403],
    ] as const)
      expect((await larder.get(path, { method: "OPTIONS" })).status).toBe(status);
  });
});

describe("a body that is not what its Content-Type says", () => {
  const CHALLENGE = "Please wait while we check your browser";
  it.each([
    ["/simple/", JSON_TYPE, "not-json", CHALLENGE],
    ["/simple/", JSON_TYPE, "not-json", '{"message": "an error"}'],
    ["/simple/", "text/html", "not-html", CHALLENGE],
    ["/rss/updates.xml", "text/xml", "not-xml", CHALLENGE],
    ["/stats/", "text/html", "not-html", CHALLENGE],
    ["/stats/", "application/json", "not-json", CHALLENGE],
  ])("%s as %s is told by its kind", async (path, contentType, cause, text) => {
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-type": contentType }).end(text);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const other = await startLarder({ upstream: { url: `http://127.0.0.1:${port}` } });
    try {
      const { status, body } = await other.get(path, { headers: { accept: contentType } });
      expect([status, JSON.parse(body.toString())]).toMatchObject([503, { cause }]);
    } finally {
      await other.close();
      server.close();
    }
  });
});

describe("what larder does not have", () => {
  it.each(["/project/demo/", "/search/?q=x", "/user/someone/", "/p/demo/"])(
    "sends people who ask for %s to PyPI",
    async (path) => {
      const { status, headers } = await larder.get(path);
      expect([status, headers.location]).toEqual([302, `${upstream.url}${path}`]);
    },
  );

  it.each(["/account/login/", "/manage/projects/", "/_/github/", "/oidc/audience"])(
    "refuses %s in words",
    async (path) => {
      const { status, body } = await larder.get(path);
      expect([status, body.toString()]).toEqual([403, expect.stringContaining("accounts") as string]);
    },
  );

  it.each([
    ["/legacy/", "upload"],
    ["/pypi", "XML-RPC"],
    ["/RPC2", "XML-RPC"],
    ["/pypi/demo/json", "reads only"],
  ])("refuses a POST to %s with a reason that a person understands", async (path, reason) => {
    const { status, headers, body } = await larder.get(path, { method: "POST", body: "x" });
    expect([status, headers.allow]).toEqual([405, "GET, HEAD, OPTIONS"]);
    expect(body.toString()).toContain(reason);
  });
});
