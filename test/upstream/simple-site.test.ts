import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, it, onTestFinished } from "vitest";
import { fetchRaw } from "../support/client.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { pageHtml, pageJson, type SimplePage } from "../support/upstream/simple-documents.ts";

// The fake is trusted by every other test: what facts/pypi.md §2 says of pypi.org is held against it here.

const CORPUS = fileURLToPath(new URL("../../../shared/corpus/", import.meta.url));
const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
const HTML_TYPE = "application/vnd.pypi.simple.v1+html";

async function start(): Promise<FakeUpstream> {
  const fake = await startUpstream();
  onTestFinished(() => fake.close());
  return fake;
}

async function published(): Promise<FakeUpstream> {
  const fake = await start();
  fake.publish({
    name: "Demo_2",
    serial: 7,
    releases: [
      { version: "1.0", yanked: 'Broken "regex" & more', requiresPython: ">=3.6" },
      { version: "1.1", kinds: ["sdist"], yanked: true },
      { version: "2.0", requires: ["helper>=1"], hasProvenance: true },
    ],
  });
  return fake;
}

const ask = (fake: FakeUpstream, path: string, accept?: string, more: Record<string, string> = {}) =>
  fetchRaw(fake.url, path, { headers: { ...(accept !== undefined && { accept }), ...more } });

describe("the fake Simple API", () => {
  it.each([
    [undefined, "text/html"],
    ["*/*", "text/html"],
    ["application/json", "text/html"],
    ["garbage;;;=", "text/html"],
    ["application/*", HTML_TYPE],
    [HTML_TYPE, HTML_TYPE],
    ["application/vnd.pypi.simple.latest+html", HTML_TYPE],
    ["application/vnd.pypi.simple.latest+json", JSON_TYPE],
    [`${JSON_TYPE}, ${HTML_TYPE}; q=0.1, text/html; q=0.01`, JSON_TYPE],
    [`${JSON_TYPE}, ${HTML_TYPE}, text/html;q=0.01`, JSON_TYPE],
    [`${JSON_TYPE}, */*;q=0.1`, JSON_TYPE],
    [`${JSON_TYPE};q=0, text/html;q=0.2`, "text/html"],
    [`${JSON_TYPE};q=0.1, text/html`, "text/html"],
  ])("answers Accept %s with %s", async (accept, type) => {
    const fake = await published();
    const { status, headers } = await ask(fake, "/simple/demo-2/", accept);
    expect([status, headers["content-type"]]).toEqual([200, type]);
  });

  it("lets ?format= win over Accept", async () => {
    const fake = await published();
    const asked = `/simple/demo-2/?format=${encodeURIComponent(JSON_TYPE)}`;
    expect((await ask(fake, asked, "text/html")).headers["content-type"]).toBe(JSON_TYPE);
    expect((await ask(fake, "/simple/demo-2/?format=json", "text/html")).headers["content-type"]).toBe(
      "text/html",
    );
  });

  it("has the header fields of a page, and a strong ETag for each of its four byte streams", async () => {
    const fake = await published();
    const tags = new Set<unknown>();
    for (const accept of [JSON_TYPE, "text/html"]) {
      for (const coding of ["gzip", "identity"]) {
        const { headers, body } = await ask(fake, "/simple/demo-2/", accept, { "accept-encoding": coding });
        expect(headers).toMatchObject({
          "cache-control": "max-age=600, public",
          vary: "Accept, Accept-Encoding",
          "x-pypi-last-serial": "7",
          "access-control-allow-origin": "*",
          etag: `"${createHash("md5").update(body).digest("base64").slice(0, 22)}"`,
        });
        tags.add(headers.etag);
        const again = await ask(fake, "/simple/demo-2/", accept, {
          "accept-encoding": coding,
          "if-none-match": String(headers.etag),
        });
        expect([again.status, again.headers.etag]).toEqual([304, headers.etag]);
      }
    }
    expect(tags.size).toBe(4);
  });

  it("redirects to the slash, then to the normalized name, without looking for it", async () => {
    const fake = await start();
    const location = async (path: string) => {
      const { status, headers } = await ask(fake, path);
      return [status, headers.location];
    };
    expect(await location("/simple")).toEqual([301, `${fake.url}/simple/`]);
    expect(await location("/simple/Foo.Bar")).toEqual([301, `${fake.url}/simple/Foo.Bar/`]);
    expect(await location("/simple/Foo.Bar/")).toEqual([301, `${fake.url}/simple/foo-bar/`]);
    const { status, headers, body } = await ask(fake, "/simple/foo-bar/");
    expect([status, headers["content-type"], body.toString()]).toEqual([
      404,
      "text/plain; charset=UTF-8",
      "404 Not Found",
    ]);
  });

  it("lists display names, sorted by normalized name, with the newest serial", async () => {
    const fake = await published();
    fake.publish({ name: "Zope", serial: 3, releases: [] }, { name: "aaa", serial: 5, releases: [] });
    const { body, headers } = await ask(fake, "/simple/", JSON_TYPE);
    expect(body.toString()).toBe(
      '{"meta":{"_last-serial":7,"api-version":"1.4"},"projects":[{"_last-serial":5,"name":"aaa"},' +
        '{"_last-serial":7,"name":"Demo_2"},{"_last-serial":3,"name":"Zope"}]}\n',
    );
    expect(headers["x-pypi-last-serial"]).toBe("7");
    const html = await ask(fake, "/simple/");
    expect(html.body.toString()).toContain('<a href="/simple/demo-2/">Demo_2</a>');
    expect(html.body.toString()).toMatch(/<!--SERIAL 7-->$/);
  });

  it("escapes HTML as warehouse does", async () => {
    const fake = await published();
    const { body } = await ask(fake, "/simple/demo-2/");
    expect(body.toString()).toContain(
      'data-requires-python="&gt;=3.6" data-yanked="Broken &#34;regex&#34; &amp; more" data-dist-info-metadata=',
    );
    expect(body.toString()).toMatch(/demo_2-1\.1\.tar\.gz#sha256=[0-9a-f]{64}" data-yanked="" >/);
  });
});

describe("what is published", () => {
  it("is the same on the JSON API, in Simple JSON and in Simple HTML, and each file is what they say", async () => {
    const fake = await published();
    const page = JSON.parse((await ask(fake, "/simple/demo-2/", JSON_TYPE)).body.toString()) as SimplePage;
    const html = (await ask(fake, "/simple/demo-2/")).body.toString();
    const document = JSON.parse((await ask(fake, "/pypi/Demo_2/json")).body.toString()) as {
      releases: Record<string, { url: string; size: number; digests: { sha256: string } }[]>;
      last_serial: number;
    };
    const told = Object.values(document.releases).flat();
    expect(page.versions).toEqual(["1.0", "1.1", "2.0"]);
    expect([page.meta["_last-serial"], document.last_serial]).toEqual([7, 7]);
    expect(page.files).toHaveLength(5);
    expect(page.files.map(({ yanked }) => yanked)).toEqual([
      'Broken "regex" & more',
      'Broken "regex" & more',
      true,
      false,
      false,
    ]);
    for (const file of page.files) {
      const { body } = await fetchRaw(fake.url, new URL(file.url).pathname);
      const sha256 = createHash("sha256").update(body).digest("hex");
      expect([sha256, body.length]).toEqual([file.hashes.sha256, file.size]);
      expect(told).toContainEqual(expect.objectContaining({ url: file.url, size: file.size }));
      expect(html).toContain(`href="${file.url}#sha256=${sha256}"`);
      const metadata = file["core-metadata"];
      if (metadata === false) continue;
      const beside = await fetchRaw(fake.url, `${new URL(file.url).pathname}.metadata`);
      expect(createHash("sha256").update(beside.decoded).digest("hex")).toBe(metadata.sha256);
    }
  });

  it("has provenance where it says so, of its own type, and a reason where there is none", async () => {
    const fake = await published();
    const path = (version: string, filename: string) => `/integrity/demo-2/${version}/${filename}/provenance`;
    const page = JSON.parse((await ask(fake, "/simple/demo-2/", JSON_TYPE)).body.toString()) as SimplePage;
    const [, , , sdist] = page.files;
    expect(sdist?.provenance).toBe(fake.url + path("2.0", "demo_2-2.0-py3-none-any.whl"));
    const found = await ask(fake, path("2.0", "demo_2-2.0.tar.gz"));
    expect(found).toMatchObject({
      status: 200,
      headers: { "content-type": "application/vnd.pypi.integrity.v1+json" },
    });
    expect(found.body.at(-1)).toBe("}".charCodeAt(0));
    expect((await ask(fake, path("2.0", "demo_2-2.0.tar.gz"), "text/html")).status).toBe(406);
    const none = await ask(fake, path("1.0", "demo_2-1.0.tar.gz"));
    expect([none.status, none.body.toString()]).toEqual([
      404,
      '{"message":"No provenance available for demo_2-1.0.tar.gz"}',
    ]);
    expect((await ask(fake, path("9.9", "nope.tar.gz"))).headers["content-type"]).toContain("text/html");
  });

  it("is in the feeds, newest first", async () => {
    const fake = await published();
    const feed = await ask(fake, "/rss/project/Demo_2/releases.xml");
    expect(feed.headers["content-type"]).toContain("text/xml");
    expect(feed.body.toString()).toMatch(/2\.0.*1\.1.*1\.0/);
    expect((await ask(fake, "/stats")).headers.location).toBe("/stats/");
    expect((await ask(fake, "/stats/", "application/json")).headers["content-type"]).toBe("application/json");
  });

  it("is a page without files, and no document, while it is quarantined", async () => {
    const fake = await start();
    fake.publish({ name: "bad", status: "quarantined", releases: [{ version: "1.0" }] });
    const { status, body } = await ask(fake, "/simple/bad/", JSON_TYPE);
    expect([status, JSON.parse(body.toString())]).toMatchObject([
      200,
      { files: [], versions: [], "project-status": { status: "quarantined" } },
    ]);
    expect((await ask(fake, "/pypi/bad/json")).status).toBe(404);
  });
});

// Nothing may depend on the recordings being there.
describe.skipIf(!existsSync(CORPUS))("against PyPI's own bytes (where the recordings are there)", () => {
  const read = (file: string) => readFileSync(join(CORPUS, file));

  it.each([
    ["cryptography", "simple-json/cryptography~c5dace20.json", "simple-html/cryptography~3da990bc.html"],
    ["django", "simple-json/django~2fb12bea.json", "simple-html/django~07ef5258.html"],
  ])("writes the page of %s as PyPI wrote it, in JSON and in HTML", (_, json, html) => {
    const page = JSON.parse(read(json).toString()) as SimplePage;
    expect(pageJson(page).equals(read(json))).toBe(true);
    expect(pageHtml(page).toString()).toBe(read(html).toString());
  });

  it("writes every exact JSON page of the last years byte for byte", () => {
    const exact = read("MANIFEST.tsv").toString().split("\n");
    const pages = exact.flatMap((line) => {
      const [path = "", , , , , , , form] = line.split("\t");
      return path.startsWith("simple-json/") && form === "exact" ? [read(path)] : [];
    });
    expect(pages.length).toBeGreaterThan(10);
    for (const bytes of pages) {
      const text = bytes.toString();
      if (!text.endsWith("\n")) continue; // before July 2022 (facts/pypi.md §10.9)
      expect(pageJson(JSON.parse(text) as SimplePage).equals(bytes)).toBe(true);
    }
  });

  it("serves recorded pages as they are", async () => {
    const fake = await start();
    const [file = ""] = readdirSync(join(CORPUS, "simple-html")).filter((name) => name.startsWith("six"));
    const html = read(`simple-html/${file}`);
    fake.simple("six", { html, serial: 26356948 });
    const { body, headers } = await ask(fake, "/simple/six/", "text/html", { "accept-encoding": "gzip" });
    expect(gunzipSync(body).equals(html)).toBe(true);
    expect(headers["x-pypi-last-serial"]).toBe("26356948");
    expect((await ask(fake, "/simple/six/", JSON_TYPE)).status).toBe(404);
  });
});
