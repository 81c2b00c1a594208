import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createChangelog, type Page } from "../../src/feed/changelog.ts";
import { normalizeProject } from "../../src/pypi/names.ts";
import type { PostAnswer } from "../../src/upstream/post.ts";
import { watchLoop } from "../support/loop-watch.ts";
import { createChangelog as createFake, faultAnswer } from "../support/upstream/changelog.ts";
import { failureOf, startPair } from "../upstream/pair.ts";

const T0 = Date.UTC(2026, 0, 1);

/** What the changelog makes of bytes that upstream answers. */
function answered(bytes: Buffer, more: Partial<PostAnswer> = {}) {
  const answer = { body: bytes, coding: "identity", confirmedAt: T0, ...more } as PostAnswer;
  return createChangelog({ post: () => Promise.resolve(answer) });
}

const rowOf = (...values: readonly string[]): string =>
  `<value><array><data>${values.map((value) => `<value>${value}</value>`).join("")}</data></array></value>`;
const responseOf = (value: string): Buffer =>
  Buffer.from(
    `<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n${value}\n</param>\n</params>\n</methodResponse>\n`,
  );
const pageOf = (...rows: readonly string[]): Buffer =>
  responseOf(`<value><array><data>\n${rows.join("\n")}\n</data></array></value>`);
const ROW = ["<string>Demo</string>", "<nil/>", "<int>1</int>", "<string>create</string>", "<int>7</int>"];

const read = async (...rows: readonly string[]): Promise<Page> =>
  (await answered(pageOf(...rows)).since(0)).value;

describe("a page of the journal", () => {
  it("tells each project once, by its normalized name, with its newest serial", async () => {
    const { fake, upstream } = await startPair();
    for (const name of ["Demo", "other", "demo", "DEMO", "Zope.Interface_x"]) fake.journal(name);
    const { value, waitMs } = await createChangelog(upstream).since(1);
    expect(value).toEqual({
      marks: new Map([
        ["other", 2],
        ["demo", 4],
        ["zope-interface-x", 5],
      ]),
      rows: 4,
      lastSerial: 5,
    });
    expect(waitMs).toBe(0);
    expect(fake.requests[0]).toMatchObject({ method: "POST", path: "/pypi" });
    expect(fake.requests[0]?.headers).toMatchObject({
      "content-type": "text/xml",
      "accept-encoding": "gzip",
    });
  });

  it("may have nothing in it, and its values in any of the forms that XML-RPC has for them", async () => {
    expect(await read()).toEqual({ marks: new Map(), rows: 0, lastSerial: undefined });
    const empty = responseOf("<value><array><data/></array></value>");
    expect((await answered(empty).since(0)).value.rows).toBe(0);
    const forms = rowOf("Demo", "<nil />", "<i4>1</i4>", "<string/>", "<i8>36000000</i8>");
    expect((await read(forms)).marks).toEqual(new Map([["demo", 36_000_000]]));
  });

  it("leaves out what no project can be called, and counts it", async () => {
    const odd = ROW.with(0, "<string>no &lt;name&#62; &amp; &#x41;</string>");
    expect(await read(rowOf(...odd))).toEqual({ marks: new Map(), rows: 1, lastSerial: 7 });
  });

  it("is read as it was written, whatever the names are", async () => {
    const { fake, upstream } = await startPair();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: "binary" }), { maxLength: 30 }), async (names) => {
        const before = fake.changelog.lastSerial();
        const written = names.map(
          (name) => [name.replace(/[\0-\x1f]/g, ""), fake.journal(name.replace(/[\0-\x1f]/g, ""))] as const,
        );
        const { value } = await createChangelog(upstream).since(before);
        const expected = new Map<string, number>();
        for (const [name, serial] of written) {
          const project = normalizeProject(name);
          if (project !== undefined) expected.set(project, serial);
        }
        expect(value.marks).toEqual(expected);
        expect(value.rows).toBe(names.length);
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["HTML", Buffer.from("<!doctype html><title>Client Challenge</title>")],
    ["half an answer", pageOf(rowOf(...ROW)).subarray(0, 150)],
    ["two answers", Buffer.concat([pageOf(), pageOf()])],
    ["a row of four", pageOf(rowOf(...ROW.slice(1)))],
    ["a row of six", pageOf(rowOf(...ROW, "<int>1</int>"))],
    ["an empty row", pageOf(rowOf())],
    ["a name that is a number", pageOf(rowOf(...ROW.with(0, "<int>1</int>")))],
    ["a serial that is text", pageOf(rowOf(...ROW.with(4, "<string>7</string>")))],
    ["a serial that is no whole number", pageOf(rowOf(...ROW.with(4, "<int>7.5</int>")))],
    ["a serial that no number holds", pageOf(rowOf(...ROW.with(4, "<int>99999999999999999</int>")))],
    ["serials that do not ascend", pageOf(rowOf(...ROW), rowOf(...ROW))],
    ["a boolean", pageOf(rowOf(...ROW.with(1, "<boolean>1</boolean>")))],
    ["a comment", pageOf("<!-- row -->")],
    ["CDATA", pageOf(rowOf(...ROW.with(0, "<string><![CDATA[demo]]></string>")))],
    ["an entity of its own", pageOf(rowOf(...ROW.with(0, "<string>&demo;</string>")))],
    ["a declaration without an end", Buffer.from(`<?xml ${" ".repeat(300)}`)],
    ["a number for rows", responseOf("<value><int>7</int></value>")],
  ])("is refused where it is %s", async (_, bytes) => {
    expect(await failureOf(answered(bytes).since(0))).toMatchObject({ failure: "not-xmlrpc", status: 200 });
  });

  it("is never taken for a shorter one where its end is missing", async () => {
    const whole = pageOf(rowOf(...ROW), rowOf(...ROW.with(4, "<int>8</int>")));
    for (let end = 0; end < whole.length - 1; end++) {
      expect(await failureOf(answered(whole.subarray(0, end)).since(0))).toMatchObject({
        failure: "not-xmlrpc",
      });
    }
  });

  it("of 50,000 rows never holds the event loop", async () => {
    const fake = createFake();
    for (let i = 0; i < 50_000; i++)
      fake.journal(`project-${i % 12_000}`, { version: "1.0", action: "add py3 file x" });
    const body = "<methodName>changelog_since_serial</methodName><int>0</int>";
    const { body: bytes } = fake.site({ method: "POST", path: "/pypi", headers: {}, body })!;
    const changelog = answered(bytes);
    await changelog.since(0); // compiled by now
    const { value, longestMs } = await watchLoop(() => changelog.since(0));
    expect([value.value.rows, value.value.marks.size]).toEqual([50_000, 12_000]);
    expect(longestMs).toBeLessThan(20);
  });
});

describe("the journal", () => {
  it("tells its newest serial", async () => {
    const { fake, upstream } = await startPair();
    fake.journal("demo", { serial: 36_000_000 });
    expect((await createChangelog(upstream).lastSerial()).value).toBe(36_000_000);
  });

  it("says with a fault that it was asked too often, and when it may be again", async () => {
    const { fake, upstream } = await startPair();
    const message =
      "HTTPTooManyRequests: The action could not be performed because there were too many requests by the client. Limit may reset in 41 seconds.";
    fake.fault({ kind: "xmlrpc-fault", message });
    expect(await failureOf(createChangelog(upstream).since(0))).toMatchObject({
      failure: "rate-limited",
      retryAfterMs: 41_000,
    });
    // That is no matter of documents.
    fake.clearFaults();
    expect((await upstream.get("/pypi/nope/json", { accept: "application/json" })).kind).toBe("absent");
  });

  it("says other things with a fault, too", async () => {
    const { body } = faultAnswer(-32500, "RuntimeError: PyPI no longer supports this method.");
    expect(await failureOf(answered(body).lastSerial())).toMatchObject({
      failure: "not-xmlrpc",
      message: "fault -32500: RuntimeError: PyPI no longer supports this method.",
    });
  });

  it.each([
    ['"default";r=0;t=30', 30_000],
    ['"default";r=12;t=30', 0],
    ['"day";r=900;t=4000, "minute";r=0;t=9', 9_000],
    ["limit=10, remaining=0, reset=5", 0],
    ["", 0],
  ])("with RateLimit %s is to be left alone for %i ms", async (value, waitMs) => {
    const { fake, upstream } = await startPair();
    fake.fault({ kind: "headers", headers: { ratelimit: value } });
    expect((await createChangelog(upstream).lastSerial()).waitMs).toBe(waitMs);
  });

  it.each([301, 404, 405, 500])("is not there for an upstream that answers %i", async (status) => {
    const { fake, upstream } = await startPair();
    fake.fault({ kind: "status", status });
    expect(await failureOf(createChangelog(upstream).lastSerial())).toMatchObject({
      failure: "status",
      status,
    });
    expect(fake.requests.every(({ method }) => method === "POST")).toBe(true);
  });

  it("is asked once more on a new connection where the first one breaks", async () => {
    const { fake, upstream } = await startPair();
    fake.fault({ kind: "close-before-head" }, { times: 1 });
    expect((await createChangelog(upstream).lastSerial()).value).toBe(0);
    expect(fake.connections).toBe(2);
  });
});
