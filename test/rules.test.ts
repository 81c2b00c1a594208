import { createHash } from "node:crypto";
import { request } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startLarder, type TestLarder } from "./support/larder.ts";
import type { BuiltFile, BuiltPackage, Package } from "./support/packages/build.ts";
import { type FakeUpstream, startUpstream } from "./support/upstream.ts";

// What real clients need of a proxy, measured on them: one test for each of the 28 rules, by its number. Most are held
// in more detail elsewhere; here is that none is forgotten.

const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
const PIP = `${JSON_TYPE}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01`;
const DEMO: Package = {
  name: "Demo",
  serial: 40,
  releases: [
    { version: "1.0", yanked: "broken", hasProvenance: true },
    {
      version: "2.0",
      requiresPython: ">=3.8",
      requires: ["helper>=1"],
      ballastBytes: 300_000,
      hasProvenance: true,
    },
  ],
};

let upstream: FakeUpstream;
let larder: TestLarder;
let demo: BuiltPackage;
let wheel: BuiltFile;

beforeEach(async () => {
  upstream = await startUpstream();
  [demo] = upstream.publish(DEMO) as [BuiltPackage];
  wheel = demo.releases[1]!.files[0]!;
  larder = await startLarder({ upstream, env: ENV() });
});

afterEach(async () => {
  await larder.close();
  await upstream.close();
});

const ENV = () => ({ LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: upstream.url });
const page = (headers: Record<string, string> = {}) =>
  larder.get("/simple/demo/", { headers: { accept: PIP, ...headers } });
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

interface PageFile {
  readonly url: string;
  readonly filename: string;
  readonly size: number;
  readonly "upload-time": string;
  readonly hashes: { readonly sha256: string };
  readonly yanked: string | boolean;
  readonly "core-metadata": { readonly sha256: string } | boolean;
}
const filesOf = async () => (JSON.parse((await page()).body.toString()) as { files: PageFile[] }).files;

describe("rule", () => {
  it("1: Simple by Accept, JSON on a tie, HTML for */* and for none, never 406", async () => {
    const types: unknown[] = [];
    for (const accept of [`${JSON_TYPE}, application/vnd.pypi.simple.v1+html`, "*/*", "image/png"]) {
      const { status, headers } = await page({ accept });
      types.push(status, headers["content-type"], headers.vary);
    }
    const vary = "Accept, Accept-Encoding";
    expect(types).toEqual([200, JSON_TYPE, vary, 200, "text/html", vary, 200, "text/html", vary]);
    expect((await larder.get("/simple/demo/")).headers["content-type"]).toBe("text/html");
  });

  it("2: exact Content-Types", async () => {
    expect((await page()).headers["content-type"]).toBe(JSON_TYPE);
    expect((await larder.get("/pypi/demo/json")).headers["content-type"]).toBe("application/json");
  });

  it("3: metadata are announced only with the hash of what is served; on failure 503, never 404", async () => {
    for (const { url, "core-metadata": announced } of await filesOf()) {
      if (typeof announced === "boolean") continue;
      const { body } = await larder.get(`${new URL(url, `${larder.url}/simple/demo/`).pathname}.metadata`);
      expect(sha256(body)).toBe(announced.sha256);
    }
    await upstream.down();
    upstream.publish({ name: "late", releases: [{ version: "1.0" }] });
    expect((await larder.get(`${wheel.path.replace("demo", "late")}.metadata`)).status).toBe(503);
  });

  it("4: the metadata keys are as upstream wrote them", async () => {
    const { body } = await page();
    expect(body.toString()).toContain('"data-dist-info-metadata":');
    expect(body.toString()).not.toContain('"dist-info-metadata":');
  });

  it("5: trouble is 503 with whole seconds: never 504, never a date", async () => {
    upstream.fault({ kind: "status", status: 504, retryAfter: "Fri, 31 Dec 1999 23:59:59 GMT" });
    for (const path of ["/simple/demo/", "/pypi/demo/json", wheel.path, `${wheel.path}.metadata`]) {
      const { status, headers } = await larder.get(path);
      expect([status, /^\d+$/.test(String(headers["retry-after"]))], path).toEqual([503, true]);
      larder.clock.advance(600_000);
    }
  });

  it("6: an outage is never a 404", async () => {
    await upstream.down();
    for (const path of ["/simple/demo/", "/simple/nope/", "/pypi/nope/json", wheel.path]) {
      expect((await larder.get(path)).status, path).toBe(503);
    }
  });

  it("7: no half page goes out", async () => {
    upstream.fault({ kind: "truncated" });
    expect((await page()).status).toBe(503);
    upstream.clearFaults();
    larder.clock.advance(60_000);
    const { headers, body } = await page();
    expect(headers["content-length"]).toBe(String(body.length));
  });

  it("8: a file that breaks upstream is continued, unnoticed by the client", async () => {
    upstream.fault({ kind: "reset-in-body", afterBytes: 100_000 }, { path: wheel.path, times: 1 });
    const { status, headers, body } = await larder.get(wheel.path);
    expect([status, sha256(body), headers["content-length"]]).toEqual([
      200,
      wheel.sha256,
      String(wheel.bytes.length),
    ]);
    expect(upstream.count(wheel.path)).toBe(2);
  });

  it("9: files have HEAD and ranges: a-b, a-, and a suffix longer than the file", async () => {
    const head = await larder.get(wheel.path, { method: "HEAD" });
    expect(head.headers).toMatchObject({
      "accept-ranges": "bytes",
      "content-length": String(wheel.bytes.length),
    });
    const part = async (range: string) => larder.get(wheel.path, { headers: { range } });
    const { bytes } = wheel;
    expect((await part("bytes=10-19")).body.equals(bytes.subarray(10, 20))).toBe(true);
    expect((await part("bytes=1000-")).body.equals(bytes.subarray(1000))).toBe(true);
    const suffix = await part("bytes=-99999999");
    expect([suffix.status, suffix.body.equals(bytes)]).toEqual([206, true]);
  });

  it("10: files and metadata are identity unless asked, files always", async () => {
    const headers = { "accept-encoding": "gzip, deflate, zstd" };
    expect((await larder.get(wheel.path, { headers })).headers["content-encoding"]).toBeUndefined();
    expect((await larder.get(`${wheel.path}.metadata`)).headers["content-encoding"]).toBeUndefined();
  });

  it("11: strong ETags, and a 304 carries the same", async () => {
    for (const path of ["/simple/demo/", "/pypi/demo/json", wheel.path, `${wheel.path}.metadata`]) {
      const { headers } = await larder.get(path);
      expect(headers.etag, path).toMatch(/^"/);
      const again = await larder.get(path, { headers: { "if-none-match": String(headers.etag) } });
      expect([again.status, again.headers.etag, again.headers["cache-control"]], path).toEqual([
        304,
        headers.etag,
        headers["cache-control"],
      ]);
    }
  });

  it("12: Date is upstream's own, also from the cache", async () => {
    const first = await page();
    larder.clock.advance(500_000);
    const later = await page();
    expect(later.headers.date).toBe(first.headers.date);
    // Counted from that Date, 100 s are left.
    expect([later.headers["cache-control"], later.headers.age]).toEqual(["max-age=600, public", "500"]);
  });

  it("13: max-age=0 and no-cache do not get through to upstream", async () => {
    await page();
    await larder.get(wheel.path);
    const asked = upstream.requests.length;
    for (const cacheControl of ["max-age=0", "no-cache"]) await page({ "cache-control": cacheControl });
    await larder.get(wheel.path, { headers: { "cache-control": "no-cache" } });
    expect(upstream.requests.length).toBe(asked);
  });

  it("14: files and metadata are immutable", async () => {
    for (const path of [wheel.path, `${wheel.path}.metadata`]) {
      expect((await larder.get(path)).headers["cache-control"]).toMatch(
        /^max-age=\d{8,}, immutable, public$/,
      );
    }
  });

  it("15: JSON API and index name one URL for each file", async () => {
    const document = JSON.parse((await larder.get("/pypi/demo/json")).body.toString()) as {
      releases: Record<string, { url: string }[]>;
    };
    const byDocument = Object.values(document.releases).flatMap((files) => files.map(({ url }) => url));
    const byPage = (await filesOf()).map(({ url }) => new URL(url, `${larder.url}/simple/demo/`).href);
    expect(byPage.sort()).toEqual(byDocument.sort());
  });

  it("16: the JSON API is where pip-tools looks for it", async () => {
    const { body } = await larder.get("/pypi/demo/json");
    for (const alias of ["/demo/json", "/simple/pypi/demo/json"]) {
      expect((await larder.get(alias)).body.equals(body), alias).toBe(true);
    }
  });

  it("17: the JSON API takes any spelling, and redirects the slash form", async () => {
    expect((await larder.get("/pypi/DEMO/json")).status).toBe(200);
    expect((await larder.get("/pypi/Demo/json/")).headers.location).toBe("/pypi/demo/json");
  });

  it("18: redirects stay inside the prefix, and // is /", async () => {
    const prefixed = await startLarder({
      upstream,
      env: { ...ENV(), LARDER_PUBLIC_URL: "https://corp/pypi-cache" },
    });
    try {
      for (const path of ["/simple", "/pypi-cache/simple"]) {
        expect((await prefixed.get(path)).headers.location).toBe("/pypi-cache/simple/");
      }
      expect((await prefixed.get("/simple/Demo")).headers.location).toBe("/pypi-cache/simple/Demo/");
      expect((await prefixed.get("//simple//demo/")).status).toBe(200);
    } finally {
      await prefixed.close();
    }
  });

  it("19: the serial is on every 200, from the cache too, and in the root for each project", async () => {
    for (let round = 0; round < 2; round++) {
      for (const path of ["/simple/demo/", "/pypi/demo/json", "/pypi/demo/2.0/json"]) {
        expect((await larder.get(path)).headers["x-pypi-last-serial"], path).toBe("40");
      }
    }
    const root = await larder.get("/simple/", { headers: { accept: JSON_TYPE } });
    expect(JSON.parse(root.body.toString())).toMatchObject({
      projects: [{ "_last-serial": 40, name: "Demo" }],
    });
  });

  it("20: size, upload-time, hashes, yanked reasons and versions are kept", async () => {
    const [yanked, , newest] = await filesOf();
    expect(yanked!.yanked).toBe("broken");
    expect(newest).toMatchObject({ size: wheel.bytes.length, hashes: { sha256: wheel.sha256 } });
    expect(newest!["upload-time"]).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(JSON.parse((await page()).body.toString())).toMatchObject({ versions: ["1.0", "2.0"] });
  });

  it("21: the JSON API keeps what poetry, pip-tools, renovate and pip-audit read", async () => {
    const release = JSON.parse((await larder.get("/pypi/demo/2.0/json")).body.toString()) as object;
    expect(release).toMatchObject({
      info: { requires_dist: ["helper>=1"] },
      urls: [{ packagetype: "bdist_wheel", digests: { sha256: wheel.sha256 }, yanked: false }, {}],
      vulnerabilities: [],
    });
  });

  it("22: URLs have the base that the client used, no query, no fragment but the hash", async () => {
    const { body } = await larder.get("/pypi/demo/json", { headers: { host: "pypi.corp:8443" } });
    const urls = [...body.toString().matchAll(/"url":"([^"]+)"/g)].map((match) => match[1]!);
    expect(urls.length).toBeGreaterThan(2);
    for (const url of urls) expect(url).toMatch(/^http:\/\/pypi\.corp:8443\/packages\/[\w./-]+$/);
  });

  it("23: files are on the scheme, host and port of the index", async () => {
    for (const { url } of await filesOf()) {
      expect(new URL(url, `${larder.url}/simple/demo/`).origin).toBe(larder.url);
    }
  });

  it("24: HEAD works on pages, and /pypi/<p>/ is 404", async () => {
    expect((await larder.get("/simple/demo/", { method: "HEAD" })).status).toBe(200);
    expect((await larder.get("/pypi/demo/")).status).toBe(404);
  });

  it("25: connections are kept for more than a minute", async () => {
    const seconds = /timeout=(\d+)/.exec(String((await page()).headers["keep-alive"]))?.[1];
    expect(Number(seconds)).toBeGreaterThanOrEqual(60);
  });

  it("26: the first byte of a cold file goes out before upstream's last has come", async () => {
    const gate = upstream.holdBody(wheel.path, 100_000);
    const firstByte = await new Promise<Buffer>((resolve, reject) => {
      const asked = request(`${larder.url}${wheel.path}`, (response) => {
        response.once("data", (chunk: Buffer) => {
          resolve(chunk);
          gate.release();
          response.resume();
        });
      });
      asked.on("error", reject);
      asked.end();
    });
    expect(firstByte.equals(wheel.bytes.subarray(0, firstByte.length))).toBe(true);
  });

  it("27: any Host works, the registry's own too", async () => {
    for (const host of ["pypi.org", "files.pythonhosted.org", "my_larder_1:80"]) {
      for (const path of ["/simple/demo/", "/pypi/demo/json", wheel.path]) {
        expect((await larder.get(path, { headers: { host } })).status, `${host}${path}`).toBe(200);
      }
    }
  });

  it("28: 404s are short", async () => {
    for (const path of ["/simple/nope/", "/pypi/nope/json", "/pypi/demo/9.9/json", "/packages/nope"]) {
      const { status, body } = await larder.get(path);
      expect([status, body.length < 40], path).toEqual([404, true]);
    }
  });
});
