import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { readContentRange } from "../../src/upstream/content-range.ts";
import type { FileAnswer, StreamAnswer } from "../../src/upstream/upstream.ts";
import { failureOf, startPair } from "./pair.ts";

const PATH = `/packages/ab/cd/${"e".repeat(60)}/demo-1.0.tar.gz`;
const BYTES = Buffer.from("0123456789".repeat(20_000));

function streamOf(answer: FileAnswer): StreamAnswer {
  if (answer.kind !== "stream") throw new Error(`expected a stream, got ${answer.kind}`);
  return answer;
}

describe("a file's stream", () => {
  it("has the bytes as they come, and what the head says of them", async () => {
    const { fake, upstream, reports } = await startPair();
    fake.file(PATH, BYTES, { contentType: "application/x-tar" });
    const answer = streamOf(await upstream.stream(PATH, { method: "GET" }));
    expect(answer).toMatchObject({
      status: 200,
      startAt: 0,
      totalBytes: BYTES.length,
      contentType: "application/x-tar",
      lastModified: "Thu, 17 Aug 2023 17:29:12 GMT",
      ageMs: 5_940_000,
    });
    expect((await buffer(answer.body)).equals(BYTES)).toBe(true);
    expect(reports).toMatchObject([{ outcome: "stream" }]);
    expect(fake.requests[0]?.headers).toMatchObject({ "accept-encoding": "identity" });
    expect(fake.requests[0]?.headers.range).toBeUndefined();
  });

  it("from a byte on is the rest, and says of what", async () => {
    const { fake, upstream } = await startPair();
    fake.file(PATH, BYTES);
    const request = { method: "GET", startAt: 199_990, onFreshConnection: true } as const;
    const answer = streamOf(await upstream.stream(PATH, request));
    expect(answer).toMatchObject({ status: 206, startAt: 199_990, totalBytes: BYTES.length });
    expect((await buffer(answer.body)).toString()).toBe("0123456789");
  });

  it("may be a HEAD, which has no body", async () => {
    const { fake, upstream } = await startPair();
    fake.file(PATH, BYTES);
    const answer = streamOf(await upstream.stream(PATH, { method: "HEAD" }));
    expect([answer.totalBytes, (await buffer(answer.body)).length]).toEqual([BYTES.length, 0]);
  });

  it("may take longer than any deadline, as long as bytes come; its head may not", async () => {
    const { fake, upstream } = await startPair({ timeouts: { wholeMs: 200, firstByteMs: 5_000 } });
    fake.file(PATH, BYTES);
    const stop = fake.fault({ kind: "slow", pieceBytes: 50_000, everyMs: 120 });
    const answer = streamOf(await upstream.stream(PATH, { method: "GET" }));
    expect((await buffer(answer.body)).length).toBe(BYTES.length);
    stop();
    fake.fault({ kind: "never-answer" });
    expect(await failureOf(upstream.stream(PATH, { method: "GET" }))).toMatchObject({
      failure: "whole-timeout",
    });
  });

  it("that stands still fails between two bytes, which /readyz hears of", async () => {
    const { fake, upstream } = await startPair({ timeouts: { betweenBytesMs: 100 } });
    fake.file(PATH, BYTES);
    fake.fault({ kind: "hang-in-body" });
    const { body } = streamOf(await upstream.stream(PATH, { method: "GET" }));
    expect(await failureOf(buffer(body))).toMatchObject({ failure: "between-bytes-timeout" });
    expect(upstream.state().lastFailure?.failure).toBe("between-bytes-timeout");
  });

  it("is tried once more where the connection breaks before its head", async () => {
    const { fake, upstream } = await startPair();
    fake.file(PATH, BYTES);
    fake.fault({ kind: "reset-before-head" }, { times: 1 });
    const { body } = streamOf(await upstream.stream(PATH, { method: "GET" }));
    expect((await buffer(body)).length).toBe(BYTES.length);
  });

  it("of a file that is not there is absence, and of one that is refused is not", async () => {
    const { fake, upstream } = await startPair();
    expect(await upstream.stream(PATH, { method: "GET" })).toMatchObject({ kind: "absent", status: 404 });
    fake.fault({ kind: "blocked" });
    expect(await failureOf(upstream.stream(PATH, { method: "GET" }))).toMatchObject({ failure: "status" });
  });

  it("of a 206 that does not say what part it is fails", async () => {
    const { fake, upstream } = await startPair();
    fake.file(PATH, BYTES);
    fake.fault({ kind: "headers", headers: { "content-range": undefined } });
    const failure = await failureOf(upstream.stream(PATH, { method: "GET", startAt: 5 }));
    expect([failure.failure, failure.status]).toEqual(["status", 206]);
  });
});

describe("Content-Range", () => {
  it.each([
    ["bytes 0-9/10", { startAt: 0, totalBytes: 10 }],
    ["bytes 5-9/10", { startAt: 5, totalBytes: 10 }],
    ["bytes 5-9/*", { startAt: 5, totalBytes: undefined }],
    ["bytes 5-8/10", undefined],
    ["bytes 9-5/10", undefined],
    ["bytes */10", undefined],
    ["5-9/10", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("%j is %j", (value, expected) => {
    expect(readContentRange(value)).toEqual(expected);
  });
});
