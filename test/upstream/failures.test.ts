import { createServer } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import type { UpstreamFailure } from "../../src/errors.ts";
import { decodeBody } from "../../src/upstream/decode.ts";
import { TestClock } from "../support/clock.ts";
import type { Fault } from "../support/upstream/faults.ts";
import { JSON_GET, failureOf, startPair } from "./pair.ts";

const PATH = "/pypi/django/json";
const OK = { kind: "ok" };

describe("an answer that is none", () => {
  it.each<[string, Fault, UpstreamFailure, number]>([
    ["500", { kind: "status", status: 500 }, "status", 500],
    ["504", { kind: "status", status: 504 }, "status", 504],
    ["403, which says that we are blocked and not that nothing is there", { kind: "blocked" }, "status", 403],
    ["401", { kind: "status", status: 401 }, "status", 401],
    ["206", { kind: "status", status: 206 }, "status", 206],
    [
      "a coding that was not asked for",
      { kind: "headers", headers: { "content-encoding": "br" } },
      "bad-coding",
      200,
    ],
    [
      "gzip within gzip",
      { kind: "headers", headers: { "content-encoding": "gzip, gzip" } },
      "bad-coding",
      200,
    ],
  ])("is a failure, not isRetry: %s", async (_, fault, failure, status) => {
    const { fake, upstream, reports } = await startPair();
    fake.project("django");
    fake.fault(fault);
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure, status });
    expect(reports).toMatchObject([{ outcome: failure, bytes: 0, isRetry: false }]);
    expect(fake.requests).toHaveLength(1);
    fake.clearFaults();
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });

  it("is refused as soon as it is announced too large", async () => {
    const { fake, upstream } = await startPair({ upstream: { maxDocumentBytes: 100 } });
    fake.project("django");
    fake.fault({ kind: "hang-after-head" });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "too-large" });
    await (
      await fake.arrived(1)
    ).closed;
  });

  it("is refused as soon as it has become too large, when no length is announced", async () => {
    const { fake, upstream } = await startPair({ upstream: { maxDocumentBytes: 100 } });
    fake.project("django");
    fake.fault({ kind: "chunked" });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "too-large" });
  });
});

describe("a connection that breaks", () => {
  it.each<[string, Fault, UpstreamFailure]>([
    ["is reset before the answer", { kind: "reset-before-head" }, "reset"],
    ["is closed before the answer", { kind: "close-before-head" }, "reset"],
    ["is reset within the body", { kind: "reset-in-body" }, "reset"],
    ["talks no HTTP", { kind: "not-http" }, "reset"],
    ["ends before the announced length", { kind: "truncated" }, "truncated"],
    ["ends within a chunk", { kind: "truncated", chunked: true }, "truncated"],
  ])("is tried once more on a fresh connection when it %s", async (_, fault, failure) => {
    const { fake, upstream, reports } = await startPair();
    fake.project("django");
    await upstream.get(PATH, JSON_GET);
    fake.fault(fault, { times: 1 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(reports.slice(1)).toMatchObject([
      { outcome: failure, isRetry: false },
      { outcome: "ok", isRetry: true },
    ]);
    expect(fake.requests[2]?.connection).toBeGreaterThan(fake.requests[1]!.connection);

    fake.fault(fault);
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure });
    expect(fake.requests).toHaveLength(5);
  });

  it("is not left open after a retry", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "reset-before-head" }, { times: 1 });
    await upstream.get(PATH, JSON_GET);
    await (
      await fake.arrived(2)
    ).closed;
  });

  it.each([502, 503])("has the retry in common with %i", async (status) => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "status", status }, { times: 1 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    fake.fault({ kind: "status", status });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "status", status });
    expect(fake.requests).toHaveLength(4);
  });

  it("is a failure to connect when upstream is down, and none any more when it is up", async () => {
    const { fake, upstream, reports } = await startPair();
    fake.project("django");
    await fake.down();
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({
      failure: "connect",
      status: undefined,
    });
    expect(reports).toMatchObject([{ outcome: "connect" }]);
    await fake.up();
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });

  it("costs only a retry when upstream was restarted between two requests", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    await upstream.get(PATH, JSON_GET);
    await fake.down();
    await fake.up();
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });

  it("is no fault of upstream's when the client is closed, and not retried", async () => {
    const { fake, upstream, reports } = await startPair();
    fake.hold();
    const failing = failureOf(upstream.get(PATH, JSON_GET));
    await fake.arrived(1);
    await upstream.close();
    expect(await failing).toMatchObject({ failure: "stopping" });
    expect(reports).toHaveLength(1);
  });
});

describe("a length that is wrong", () => {
  it("does no harm when more follows than announced", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "over-long" }, { times: 1 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "ok", etagMatched: true });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "ok", etagMatched: true });
  });

  it("shows in ETag and gzip when it cuts the body", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "short-length" });
    const answer = await upstream.get(PATH, JSON_GET);
    if (answer.kind !== "ok") throw new Error(answer.kind);
    expect(answer.etagMatched).toBe(false);
    expect(await failureOf(decodeBody(answer.body, answer.coding, 1e6))).toMatchObject({
      failure: "bad-coding",
    });
  });
});

describe("an answer that does not come in time", () => {
  it("fails when its head does not come", async () => {
    const { fake, upstream, reports } = await startPair({ timeouts: { firstByteMs: 30 } });
    fake.fault({ kind: "never-answer" });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "first-byte-timeout" });
    expect(reports).toMatchObject([{ outcome: "first-byte-timeout" }]);
    await fake.requests[0]?.closed;
  });

  it.each<Fault>([{ kind: "hang-after-head" }, { kind: "hang-in-body" }])(
    "fails when its body stalls: $kind",
    async (fault) => {
      const { fake, upstream } = await startPair({ timeouts: { betweenBytesMs: 30 } });
      fake.project("django");
      fake.fault(fault);
      expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({
        failure: "between-bytes-timeout",
      });
      await fake.requests[0]?.closed;
    },
  );

  it("fails when it drips for too long, though it never stalls", async () => {
    const { fake, upstream } = await startPair({ timeouts: { betweenBytesMs: 5_000, wholeMs: 60 } });
    fake.project("django");
    fake.fault({ kind: "slow", pieceBytes: 1, everyMs: 5 });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "whole-timeout" });
    await fake.requests[0]?.closed;
  });

  it("is waited for while it drips in time", async () => {
    const { fake, upstream } = await startPair({ timeouts: { betweenBytesMs: 2_000 } });
    fake.project("django");
    fake.fault({ kind: "slow", pieceBytes: 200, everyMs: 2 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject({ kind: "ok", etagMatched: true });
  });

  it("fails when no connection becomes free, and is then never sent", async () => {
    const clock = new TestClock();
    const { fake, upstream } = await startPair({
      upstream: { clock },
      egress: { connections: 1 },
      timeouts: { wholeMs: 60 },
    });
    fake.project("django");
    const gate = fake.hold();
    const first = failureOf(upstream.get(PATH, JSON_GET));
    await fake.arrived(1);
    const queued = failureOf(upstream.get("/pypi/queued/json", JSON_GET));
    await nextTurn(); // it is asked for behind an await or two
    clock.advance(60);
    expect(await first).toMatchObject({ failure: "whole-timeout" });
    expect(await queued).toMatchObject({ failure: "whole-timeout" });
    gate.release();
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(fake.count("/pypi/queued/json")).toBe(0);
  });

  it("has one bound for itself, its redirects and its retry", async () => {
    const clock = new TestClock();
    const { fake, upstream, reports } = await startPair({ upstream: { clock }, timeouts: { wholeMs: 200 } });
    fake.project("django");
    fake.fault({ kind: "reset-before-head" }, { path: PATH, times: 1 });
    fake.fault({ kind: "never-answer" }, { path: PATH });
    const gate = fake.hold(PATH);
    const failing = failureOf(upstream.get(`${PATH}/`, JSON_GET));
    await fake.arrived(1, PATH);
    clock.advance(150);
    gate.release();
    await fake.arrived(2, PATH);
    clock.advance(50);
    expect(await failing).toMatchObject({ failure: "whole-timeout" });
    expect(reports).toMatchObject([
      { outcome: "reset", ms: 150, isRetry: false },
      { outcome: "whole-timeout", ms: 50, isRetry: true },
    ]);
  });

  it("fails when no TLS handshake comes about, by undici's own coarser timer", async () => {
    const mute = createServer().listen(0, "127.0.0.1");
    const { promise: listening, resolve } = Promise.withResolvers<undefined>();
    mute.once("listening", () => resolve(undefined));
    await listening;
    onTestFinished(() => void mute.close());
    const address = mute.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const { upstream } = await startPair({
      egress: { connectTimeoutMs: 30 },
      upstream: { baseUrl: `https://127.0.0.1:${address.port}` },
    });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "connect-timeout" });
  });
});

describe("gzip", () => {
  it.each(["crc", "truncated"] as const)(
    "that is broken passes here and fails to decode: %s",
    async (how) => {
      const { fake, upstream } = await startPair();
      fake.project("django");
      fake.fault({ kind: "bad-gzip", how });
      const answer = await upstream.get(PATH, JSON_GET);
      if (answer.kind !== "ok") throw new Error(answer.kind);
      expect(await failureOf(decodeBody(answer.body, answer.coding, 1e6))).toMatchObject({
        failure: "bad-coding",
      });
    },
  );
});

describe("an upstream that wants to be left alone", () => {
  it.each<[string, string | undefined, number]>([
    ["5 s after a 429 that does not say how long", undefined, 5_000],
    ["as long as it says", "90", 90_000],
    ["5 min at most", "86400", 300_000],
    ["1 s at least", "0", 1_000],
    ["5 s where what it says is nonsense", "soon", 5_000],
  ])("is left alone %s", async (_, retryAfter, restMs) => {
    const { fake, upstream, clock, reports } = await startPair();
    fake.project("django");
    fake.fault(
      { kind: "status", status: 429, ...(retryAfter === undefined ? {} : { retryAfter }) },
      { times: 1 },
    );
    const before = clock.now();
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({
      failure: "rate-limited",
      status: 429,
    });
    const pausedForMs = upstream.state().pausedUntil! - before;
    expect(pausedForMs).toBeGreaterThanOrEqual(restMs);
    expect(pausedForMs).toBeLessThan(restMs + 900);

    clock.skip(restMs - 900);
    const refused = await failureOf(upstream.get("/pypi/other/json", JSON_GET));
    expect(refused).toMatchObject({ failure: "rate-limited", status: undefined });
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(900);
    expect(fake.requests).toHaveLength(1);
    expect(reports).toHaveLength(1);

    clock.skip(1_800);
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(upstream.state().pausedUntil).toBeUndefined();
  });

  it("is left alone until the date it names", async () => {
    const { fake, upstream, clock } = await startPair();
    const until = Math.ceil(clock.now() / 1000) * 1000 + 60_000;
    fake.fault({ kind: "status", status: 429, retryAfter: new Date(until).toUTCString() });
    await failureOf(upstream.get(PATH, JSON_GET));
    expect(Math.abs(upstream.state().pausedUntil! - until)).toBeLessThan(50);
  });

  it("is left alone after 503 with Retry-After, and not asked again at once", async () => {
    const { fake, upstream } = await startPair();
    fake.fault({ kind: "status", status: 503, retryAfter: "30" });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({
      failure: "rate-limited",
      status: 503,
      retryAfterMs: 30_000,
    });
    expect(fake.requests).toHaveLength(1);
  });

  it("is not seen in 503 with `Retry-After: 0`, which edges put on their own errors", async () => {
    const { fake, upstream } = await startPair();
    fake.project("django");
    fake.fault({ kind: "status", status: 503, retryAfter: "0" }, { times: 1 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });
});

describe("offline", () => {
  it("fails at once, without a word to upstream", async () => {
    const { fake, upstream, reports } = await startPair({ upstream: { offline: true } });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "offline" });
    expect(fake.connections).toBe(0);
    expect(reports).toHaveLength(0);
  });
});

describe("state", () => {
  it("tells of the last answer and the last failure", async () => {
    const { fake, upstream, clock } = await startPair();
    fake.project("django");
    expect(upstream.state()).toEqual({
      lastOkAt: undefined,
      lastFailure: undefined,
      pausedUntil: undefined,
      breaker: "closed",
    });
    await upstream.get("/pypi/absent/json", JSON_GET);
    const { lastOkAt } = upstream.state();
    expect(lastOkAt).toBeLessThanOrEqual(clock.now());
    clock.skip(1_000);
    fake.fault({ kind: "status", status: 500 });
    const { message } = await failureOf(upstream.get(PATH, JSON_GET));
    expect(upstream.state().lastFailure).toMatchObject({ failure: "status", message });
    expect(upstream.state().lastFailure?.at).toBeGreaterThan(lastOkAt!);
    expect(upstream.state().lastOkAt).toBe(lastOkAt);
  });

  it("counts the bytes of an answer as they were sent", async () => {
    const { fake, upstream, reports } = await startPair();
    fake.project("django");
    const answer = await upstream.get(PATH, JSON_GET);
    if (answer.kind !== "ok") throw new Error(answer.kind);
    expect(reports).toMatchObject([{ outcome: "ok", bytes: answer.body.length, isRetry: false }]);
  });
});
