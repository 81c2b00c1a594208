import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { DocumentAnswer, UpstreamAnswer } from "../../src/upstream/upstream.ts";
import { watchOnce } from "../support/loop-watch.ts";
import { JSON_GET, failureOf, startPair } from "./pair.ts";

const PATH = "/pypi/django/json";

function asDocument(answer: UpstreamAnswer): DocumentAnswer {
  if (answer.kind !== "ok") throw new Error(`expected a document, got ${answer.kind}`);
  return answer;
}

describe("a document", () => {
  it("comes as it was sent, undecoded, with all that upstream says of it", async () => {
    const { fake, upstream } = await startPair({ fake: { now: () => Date.UTC(2026, 7, 21, 12) } });
    fake.project("Django", { serial: 42, releases: ["1.0", "2013"] });
    const answer = asDocument(await upstream.get(PATH, JSON_GET));
    const md5 = createHash("md5").update(answer.body).digest("base64").replace(/=+$/, "");
    expect(answer).toMatchObject({
      kind: "ok",
      coding: "gzip",
      digest: createHash("sha256").update(answer.body).digest("hex"),
      etag: `"${md5}"`,
      etagMatched: true,
      date: "Fri, 21 Aug 2026 12:00:00 GMT",
      serial: 42,
      contentType: "application/json",
      ageMs: 0,
    });
    expect(JSON.parse(gunzipSync(answer.body).toString())).toMatchObject({ last_serial: 42 });
  });

  it("is the same bytes when upstream sends it in chunks of unknown length", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    const plain = asDocument(await upstream.get(PATH, JSON_GET));
    fake.fault({ kind: "chunked" });
    const chunked = asDocument(await upstream.get(PATH, JSON_GET));
    expect(chunked.body).toEqual(plain.body);
    expect(chunked.etagMatched).toBe(true);
  });

  it("may be uncompressed", async () => {
    const { fake, upstream } = await startPair();
    fake.project("tiny", { body: Buffer.from("{}\n") });
    const answer = asDocument(await upstream.get("/pypi/tiny/json", JSON_GET));
    expect(answer).toMatchObject({ coding: "identity", body: Buffer.from("{}\n"), etagMatched: true });
  });

  it("says when its ETag is not the MD5 of its bytes, and is not refused for it", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "wrong-etag" });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "ok", etagMatched: false });
  });

  it.each([
    ["none", undefined],
    ["a weak one", 'W/"abc"'],
    ["another server's", '"5f3a-61b2"'],
  ])("leaves open whether it is whole where its ETag is %s", async (_, etag) => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "headers", headers: { etag } });
    const answer = asDocument(await upstream.get(PATH, JSON_GET));
    expect(answer.etag).toBe(etag);
    expect(answer.etagMatched).toBeUndefined();
  });

  it("may come without a serial", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "headers", headers: { "x-pypi-last-serial": undefined } });
    expect(asDocument(await upstream.get(PATH, JSON_GET)).serial).toBeUndefined();
  });

  it("counts as confirmed when it was asked for, less its Age", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "headers", headers: { age: "90" } });
    const answer = await upstream.get(PATH, JSON_GET);
    expect(answer.ageMs).toBe(90_000);
    expect(answer.confirmedAt).toBe(answer.requestedAt - 90_000);
    expect(answer.receivedAt).toBeGreaterThanOrEqual(answer.requestedAt);
  });

  it.each([
    ["no Date", undefined],
    ["an invalid Date", "yesterday"],
  ])("has the time of receipt for its date when upstream sends %s", async (_, date) => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "headers", headers: { date } });
    const answer = await upstream.get(PATH, JSON_GET);
    expect(answer.date).toBe(new Date(answer.receivedAt).toUTCString());
  });

  it.each(["application/json; charset=UTF-8", "Application/JSON", "application/vnd.pypi.simple.v1+json"])(
    "may be called %s",
    async (contentType) => {
      const { fake, upstream } = await startPair();
      fake.project("django");
      fake.fault({ kind: "headers", headers: { "content-type": contentType } });
      expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "ok", contentType });
    },
  );

  it("of 30 MB does not hold the event loop while it arrives", { timeout: 60_000 }, async () => {
    const { fake, upstream } = await startPair();
    // Already "compressed" bytes, so that 30 MB go over the wire and none are spent on gzip here.
    const big = Buffer.alloc(30 * 1024 * 1024, "0123456789abcdef");
    fake.project("big", { body: big, gzip: big });
    const held: number[] = [];
    // What holds the loop does so each time, a collection does not.
    for (let run = 0; run < 3; run++) {
      const gate = fake.hold();
      const answering = upstream.get("/pypi/big/json", JSON_GET);
      // The fake works in this process, too: it hashes 30 MB for their ETag before it holds the answer back.
      await expect.poll(() => gate.waiting).toBe(1);
      const { value, longestMs } = await watchOnce(() => {
        gate.release();
        return answering;
      });
      const answer = asDocument(value);
      expect([answer.body.length, answer.etagMatched]).toEqual([big.length, true]);
      held.push(longestMs);
    }
    expect(Math.min(...held)).toBeLessThan(40);
  });
});

describe("what is sent", () => {
  it("is our own name, one coding, and nothing that a client said", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    await upstream.get(PATH, { accept: "application/json", etag: '"abc"' });
    expect(fake.requests[0]?.headers).toEqual({
      host: new URL(fake.url).host,
      connection: "keep-alive",
      accept: "application/json",
      "accept-encoding": "gzip",
      "user-agent": "larder/test (+https://example.org/contact)",
      "if-none-match": '"abc"',
    });
  });

  it.each(["", "/", "/mirrors/pypi", "/mirrors/pypi/"])(
    "goes below the base URL, as it is: %j",
    async (basePath) => {
      const { fake, upstream } = await startPair({ basePath });
      await upstream.get("/pypi/django/1%2B0/../json", JSON_GET);
      expect(fake.requests[0]?.url).toBe(`${basePath.replace(/\/$/, "")}/pypi/django/1%2B0/../json`);
    },
  );

  it.each(["pypi/django/json", "/pypi/Ä/json", "/pypi/a b/json", "/pypi/a#b", "/a\r\nx: y"])(
    "is never %j, which would arrive as something else",
    async (path) => {
      const { fake, upstream } = await startPair();
      await expect(upstream.get(path, JSON_GET)).rejects.toThrow(TypeError);
      expect(fake.requests).toHaveLength(0);
    },
  );

  // Two: undici lets a connection rest for one turn of the loop, and opens another for who does not wait so long.
  it("uses no more than two connections for one request after another", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    for (let n = 0; n < 10; n++) await upstream.get(PATH, JSON_GET);
    expect(fake.connections).toBeLessThanOrEqual(2);
  });

  it("keeps the connection through 304s and 404s", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    const { etag } = asDocument(await upstream.get(PATH, JSON_GET));
    for (let n = 0; n < 5; n++) {
      expect(await upstream.get(PATH, { ...JSON_GET, etag })).toMatchObject({ kind: "not-modified" });
      expect(await upstream.get("/pypi/absent/json", JSON_GET)).toMatchObject({ kind: "absent" });
    }
    expect(fake.connections).toBeLessThanOrEqual(2);
  });

  it("waits for one of the connections when all are in use", async () => {
    const { fake, upstream } = await startPair({ egress: { connections: 2 } });
    fake.project("django");
    const gate = fake.hold();
    const answers = Promise.all(Array.from({ length: 6 }, () => upstream.get(PATH, JSON_GET)));
    await fake.arrived(2);
    expect(fake.requests).toHaveLength(2);
    gate.release();
    expect(await answers).toHaveLength(6);
    expect(fake.connections).toBe(2);
  });
});

describe("304", () => {
  it("says that what was asked about is current, though without a serial", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django", { serial: 7 });
    const { etag } = asDocument(await upstream.get(PATH, JSON_GET));
    const answer = await upstream.get(PATH, { ...JSON_GET, etag });
    expect(answer).toMatchObject({ kind: "not-modified", etag, serial: undefined });
  });

  it("tells the serial where upstream does", async () => {
    const { fake, upstream } = await startPair();
    fake.serialOn304 = true;
    fake.project("django", { serial: 7 });
    const { etag } = asDocument(await upstream.get(PATH, JSON_GET));
    expect(await upstream.get(PATH, { ...JSON_GET, etag })).toMatchObject({
      kind: "not-modified",
      serial: 7,
    });
  });

  it("is no answer to a request that named no ETag", async () => {
    const { fake, upstream } = await startPair();
    fake.fault({ kind: "status", status: 304 });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "status", status: 304 });
  });
});

describe("absence", () => {
  it("is what 404 says", async () => {
    const { upstream } = await startPair({ fake: { now: () => Date.UTC(2026, 7, 21, 12) } });
    expect(await upstream.get("/pypi/absent/json", JSON_GET)).toMatchObject({
      kind: "absent",
      status: 404,
      date: "Fri, 21 Aug 2026 12:00:00 GMT",
    });
  });

  it("is what 410 says", async () => {
    const { fake, upstream } = await startPair();
    fake.fault({ kind: "status", status: 410 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "absent", status: 410 });
  });
});

describe("redirects", () => {
  it("are followed on the same host", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    expect(await upstream.get("/pypi/django/json/", JSON_GET)).toMatchObject({ kind: "ok" });
    expect(fake.requests.map(({ path }) => path)).toEqual(["/pypi/django/json/", PATH]);
  });

  it("are followed to another host, with the same request", async () => {
    const { fake: other } = await startPair();
    other.project("django", { serial: 9 });
    const { fake, upstream, reports } = await startPair();
    fake.fault({ kind: "redirect", location: `${other.url}${PATH}?a=b`, status: 307 });
    expect(await upstream.get(PATH, { ...JSON_GET, etag: '"x"' })).toMatchObject({ kind: "ok", serial: 9 });
    expect(other.requests[0]).toMatchObject({
      url: `${PATH}?a=b`,
      headers: { accept: "application/json", "if-none-match": '"x"', host: new URL(other.url).host },
    });
    expect(reports).toHaveLength(1);
  });

  it("are followed three times and no more", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "redirect", location: PATH }, { times: 3 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "ok" });
    fake.fault({ kind: "redirect", location: PATH });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({
      failure: "redirects",
      status: 302,
    });
    expect(fake.requests).toHaveLength(8);
  });

  it.each(["ftp://127.0.0.1/x", "http://[", "file:///etc/passwd"])(
    "to %s are not followed",
    async (location) => {
      const { fake, upstream } = await startPair();
      fake.fault({ kind: "redirect", location });
      expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "redirects" });
    },
  );
});
