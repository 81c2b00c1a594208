import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { request } from "undici";
import { describe, expect, it, onTestFinished } from "vitest";
import { startUpstream, type FakeUpstream } from "../support/upstream.ts";
import { pypiJson } from "../support/upstream/documents.ts";

// The fake is trusted by every other test: what facts/pypi.md says of pypi.org is held against it here.

async function start(): Promise<FakeUpstream> {
  const fake = await startUpstream();
  onTestFinished(() => fake.close());
  return fake;
}

async function ask(fake: FakeUpstream, path: string, headers: Record<string, string> = {}, method = "GET") {
  const { statusCode, headers: received, body } = await request(fake.url + path, { method, headers });
  return { status: statusCode, headers: received, body: Buffer.from(await body.arrayBuffer()) };
}

describe("the fake upstream", () => {
  it("writes JSON as warehouse does: compact, keys sorted by code point, raw UTF-8, a newline", () => {
    const written = pypiJson({
      b: "世界\u{1F600}",
      "10": [1, null],
      "9": true,
      "\u{1F600}": 1,
      "\uFB00": 2,
      a: {},
    });
    expect(written.toString()).toBe('{"10":[1,null],"9":true,"a":{},"b":"世界😀","ﬀ":2,"😀":1}\n');
  });

  it("answers any spelling of a name with the same bytes, and no redirect", async () => {
    const fake = await start();
    fake.project("Foo.Bar_baz", { serial: 5 });
    const answers = await Promise.all(
      ["foo-bar-baz", "Foo.Bar_baz", "FOO--bar.-_baz"].map((name) =>
        ask(fake, `/pypi/${name}/json?nocache=1`),
      ),
    );
    for (const { status, body } of answers) {
      expect(status).toBe(200);
      expect(body).toEqual(answers[0]?.body);
    }
    expect(JSON.parse(answers[0]!.body.toString())).toMatchObject({
      info: { name: "Foo.Bar_baz" },
      last_serial: 5,
    });
  });

  it("has the header fields of a document", async () => {
    const fake = await start();
    fake.project("django", { serial: 5 });
    const { headers, body } = await ask(fake, "/pypi/django/json", { "accept-encoding": "gzip" });
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "content-encoding": "gzip",
      "content-length": String(body.length),
      "cache-control": "max-age=900, public",
      vary: "Accept-Encoding",
      "x-pypi-last-serial": "5",
      "access-control-allow-origin": "*",
      "access-control-expose-headers": "X-PyPI-Last-Serial",
    });
    expect(Date.parse(String(headers["date"]))).not.toBeNaN();
    expect(headers).not.toHaveProperty("age");
    expect(headers).not.toHaveProperty("last-modified");
  });

  it("has one strong ETag for each coding, and answers 304 to its own alone", async () => {
    const fake = await start();
    fake.project("django", { serial: 5 });
    const gzip = { "accept-encoding": "gzip" };
    const coded = await ask(fake, "/pypi/django/json", gzip);
    const plain = await ask(fake, "/pypi/django/json");
    expect(gunzipSync(coded.body)).toEqual(plain.body);
    for (const { headers, body } of [coded, plain]) {
      const md5 = createHash("md5").update(body).digest("base64").slice(0, 22);
      expect(headers["etag"]).toBe(`"${md5}"`);
    }
    const plainTag = { "if-none-match": String(plain.headers["etag"]) };
    const notModified = await ask(fake, "/pypi/django/json", plainTag);
    expect(notModified).toMatchObject({ status: 304, headers: { etag: plain.headers["etag"] } });
    expect(notModified.headers).not.toHaveProperty("x-pypi-last-serial");
    expect((await ask(fake, "/pypi/django/json", { ...gzip, ...plainTag })).status).toBe(200);
  });

  it("says 404 in 24 bytes, without lifetime, ETag or serial", async () => {
    const fake = await start();
    const { status, headers, body } = await ask(fake, "/pypi/nope/json");
    expect(status).toBe(404);
    expect(body.toString()).toBe('{"message": "Not Found"}');
    expect(headers).toMatchObject({ "content-type": "application/json", "access-control-allow-origin": "*" });
    for (const name of ["cache-control", "etag", "x-pypi-last-serial"])
      expect(headers).not.toHaveProperty(name);
  });

  it("redirects a slash at the end, by a relative Location, to the normalized name", async () => {
    const fake = await start();
    const { status, headers } = await ask(fake, "/pypi/Foo.Bar/1.0/json/");
    expect(status).toBe(301);
    expect(headers).toMatchObject({
      location: "/pypi/foo-bar/1.0/json",
      "retry-after": "0",
      connection: "close",
    });
  });

  it("finds a version by its spelling and those given with it, and by no other", async () => {
    const fake = await start();
    fake.project("requests", {
      serial: 3,
      releases: [{ version: "1.0", spellings: ["1.0.0", "v1.0"] }, "2.0+local"],
    });
    for (const version of ["1.0", "1.0.0", "v1.0"]) {
      const { body } = await ask(fake, `/pypi/requests/${version}/json`);
      expect(JSON.parse(body.toString())).toMatchObject({ info: { version: "1.0" }, last_serial: 3 });
      expect(JSON.parse(body.toString())).not.toHaveProperty("releases");
    }
    expect((await ask(fake, "/pypi/requests/2.0%2Blocal/json")).status).toBe(200);
    expect((await ask(fake, "/pypi/requests/1/json")).status).toBe(404);
  });

  it("answers HEAD, OPTIONS and other methods as pypi.org does", async () => {
    const fake = await start();
    fake.project("django");
    const get = await ask(fake, "/pypi/django/json");
    const head = await ask(fake, "/pypi/django/json", {}, "HEAD");
    expect(head.body).toHaveLength(0);
    expect(head.headers).toMatchObject({
      etag: get.headers["etag"],
      "content-length": String(get.body.length),
    });
    const options = await ask(fake, "/pypi/django/json", {}, "OPTIONS");
    expect(options).toMatchObject({ status: 200, body: get.body });
    expect(options.headers).not.toHaveProperty("etag");
    const post = await ask(fake, "/pypi/django/json", {}, "POST");
    expect(post).toMatchObject({ status: 405, headers: { allow: "GET, HEAD, OPTIONS" } });
    expect(post.headers).not.toHaveProperty("access-control-allow-origin");
  });

  it("serves recorded bytes as they are given", async () => {
    const fake = await start();
    const body = Buffer.from('{ "info" : {} }');
    fake.project("old", { body });
    fake.release("old", "1", { body, serial: 8 });
    expect((await ask(fake, "/pypi/old/json")).body).toEqual(body);
    expect((await ask(fake, "/pypi/old/1/json")).headers["x-pypi-last-serial"]).toBe("8");
    fake.remove("old", "1");
    expect((await ask(fake, "/pypi/old/1/json")).status).toBe(404);
    fake.remove("old");
    expect((await ask(fake, "/pypi/old/json")).status).toBe(404);
  });

  it("holds answers as they were on arrival until the gate is opened", async () => {
    const fake = await start();
    fake.project("django", { serial: 1 });
    const gate = fake.hold("/pypi/django/json");
    const early = ask(fake, "/pypi/django/json");
    await fake.arrived(1, "/pypi/django/json");
    fake.project("django", { serial: 2 });
    expect((await ask(fake, "/pypi/django/1.0/json")).headers["x-pypi-last-serial"]).toBe("2");
    expect(gate.waiting).toBe(1);
    gate.release();
    expect((await early).headers["x-pypi-last-serial"]).toBe("1");
    expect(gate.waiting).toBe(0);
  });

  it("answers wrongly for as many requests, and on such paths, as it is told", async () => {
    const fake = await start();
    fake.project("django");
    const stop = fake.fault({ kind: "status", status: 503, retryAfter: "7" }, { path: /django/, times: 2 });
    expect((await ask(fake, "/pypi/other/json")).status).toBe(404);
    expect(await ask(fake, "/pypi/django/json")).toMatchObject({
      status: 503,
      headers: { "retry-after": "7" },
    });
    stop();
    expect((await ask(fake, "/pypi/django/json")).status).toBe(200);
  });

  it("refuses connections while it is down, and comes back on the same port", async () => {
    const fake = await start();
    fake.project("django");
    const { url } = fake;
    await fake.down();
    await expect(ask(fake, "/pypi/django/json")).rejects.toThrow(/ECONNREFUSED/);
    await fake.up();
    expect(fake.url).toBe(url);
    expect((await ask(fake, "/pypi/django/json")).status).toBe(200);
  });
});
