import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { createMetrics, type Metrics, type MetricSources } from "../../src/ops/metrics.ts";

const QUIET: MetricSources = {
  store: () => ({ entries: 0, bytes: 0 }),
  memory: () => ({ entries: 0, bytes: 0 }),
  files: () => ({ entries: 2, bytes: 3_000, filling: 1 }),
  isStoreUp: () => true,
  mirrors: () => [],
};

function unexpected(what: string, key: string, error: unknown): never {
  throw new Error(`${what} ${key} failed`, { cause: error });
}

const create = (sources: Partial<MetricSources> = {}): Metrics =>
  createMetrics({ ...QUIET, ...sources }, unexpected);

/** The samples by name and labels, as a scraper reads them. */
async function scrape(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const lines = (await metrics.render()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]));
}

describe("the metrics", () => {
  it("count requests by route, cache status and class of HTTP status, and their time in seconds", async () => {
    const metrics = create();
    metrics.request({ route: "project", cache: "hit", status: 200, durationMs: 2 });
    metrics.request({ route: "project", cache: "hit", status: 206, durationMs: 20 });
    metrics.request({ route: "project", cache: "hit", status: 304, durationMs: 0.2 });
    metrics.request({ route: "release", cache: "miss", status: 503, durationMs: 1_000 });
    const samples = await scrape(metrics);
    expect(samples.get('larder_requests_total{route="project",cache="hit",status="2xx"}')).toBe(2);
    expect(samples.get('larder_requests_total{route="project",cache="hit",status="3xx"}')).toBe(1);
    expect(samples.get('larder_requests_total{route="release",cache="miss",status="5xx"}')).toBe(1);
    expect(samples.get('larder_request_duration_seconds_count{cache="hit"}')).toBe(3);
    expect(samples.get('larder_request_duration_seconds_sum{cache="hit"}')).toBeCloseTo(0.0222);
    expect(samples.get('larder_request_duration_seconds_bucket{le="0.0005",cache="hit"}')).toBe(1);
    expect(samples.get('larder_request_duration_seconds_bucket{le="0.0025",cache="hit"}')).toBe(2);
    expect(samples.get('larder_request_duration_seconds_sum{cache="miss"}')).toBe(1);
  });

  it("count upstream exchanges by outcome, and their time in seconds", async () => {
    const metrics = create();
    metrics.exchange({ outcome: "ok", ms: 40, bytes: 1_000, isRetry: false });
    metrics.exchange({ outcome: "ok", ms: 60, bytes: 234, isRetry: true });
    metrics.exchange({ outcome: "connect-timeout", ms: 3_000, bytes: 0, isRetry: false });
    const samples = await scrape(metrics);
    expect(samples.get('larder_upstream_requests_total{outcome="ok"}')).toBe(2);
    expect(samples.get('larder_upstream_requests_total{outcome="connect-timeout"}')).toBe(1);
    expect(samples.get('larder_upstream_duration_seconds_sum{outcome="ok"}')).toBeCloseTo(0.1);
    expect(samples.get('larder_upstream_duration_seconds_bucket{le="0.05",outcome="ok"}')).toBe(1);
    expect(samples.get("larder_upstream_document_bytes_total")).toBe(1_234);
    expect(samples.get("larder_upstream_retries_total")).toBe(1);
  });

  it("count files that came and went, and their bytes", async () => {
    const metrics = create();
    metrics.blob({ kind: "fill", outcome: "stored", bytes: 700 });
    metrics.blob({ kind: "resumed" });
    metrics.blob({ kind: "evicted", bytes: 500 });
    const samples = await scrape(metrics);
    expect(samples.get('larder_file_fills_total{outcome="stored"}')).toBe(1);
    expect(samples.get("larder_file_fill_bytes_total")).toBe(700);
    expect(samples.get("larder_file_fills_resumed_total")).toBe(1);
    expect(samples.get("larder_file_evictions_total")).toBe(1);
    expect(samples.get("larder_file_evicted_bytes_total")).toBe(500);
  });

  it("begin at zero, and count joins, requests avoided and survived failures", async () => {
    const metrics = create();
    const before = await scrape(metrics);
    expect(before.get("larder_collapsed_total")).toBe(0);
    expect(before.get("larder_upstream_avoided_total")).toBe(0);
    metrics.collapsed();
    metrics.avoided();
    metrics.avoided();
    metrics.survived("store read");
    const after = await scrape(metrics);
    expect(after.get("larder_collapsed_total")).toBe(1);
    expect(after.get("larder_upstream_avoided_total")).toBe(2);
    expect(after.get('larder_survived_total{what="store read"}')).toBe(1);
  });

  it("ask for sizes and health only when somebody reads them, and then anew", async () => {
    let asked = 0;
    let entries = 1;
    const metrics = create({
      store: () => Promise.resolve({ entries, bytes: 10 * entries }).finally(() => asked++),
      memory: () => ({ entries: 7, bytes: 70 }),
      isStoreUp: () => entries === 1,
      mirrors: () => [
        { base: "https://a.corp", healthy: entries === 1 },
        { base: "https://b.corp", healthy: true },
      ],
    });
    expect(asked).toBe(0);
    const first = await scrape(metrics);
    expect(first.get("larder_store_entries")).toBe(1);
    expect(first.get("larder_store_bytes")).toBe(10);
    expect(first.get("larder_memory_entries")).toBe(7);
    expect(first.get("larder_memory_bytes")).toBe(70);
    expect(first.get("larder_store_up")).toBe(1);
    expect(first.get('larder_mirror_healthy{base="https://a.corp"}')).toBe(1);
    entries = 2;
    const second = await scrape(metrics);
    expect(second.get("larder_store_entries")).toBe(2);
    expect(second.get("larder_store_up")).toBe(0);
    expect(second.get('larder_mirror_healthy{base="https://a.corp"}')).toBe(0);
    expect(second.get('larder_mirror_healthy{base="https://b.corp"}')).toBe(1);
    expect(asked).toBe(2);
  });

  it.each(["store", "files"] as const)(
    "leave the size of the %s out while nobody can tell it, say so, and have it again afterwards",
    async (of) => {
      const survived: unknown[][] = [];
      const down = new Error("it is down");
      let isDown = false;
      const source = () => {
        if (isDown) throw down;
        return { entries: 3, bytes: 30, filling: 0 };
      };
      const metrics = createMetrics({ ...QUIET, [of]: source }, (...args) => survived.push(args));
      expect((await scrape(metrics)).get(`larder_${of}_bytes`)).toBe(30);
      isDown = true;
      const samples = await scrape(metrics);
      expect(samples.has(`larder_${of}_bytes`)).toBe(false);
      expect(samples.has(`larder_${of}_entries`)).toBe(false);
      expect(samples.get("larder_store_up")).toBe(1);
      expect(survived).toEqual([["metrics", `${of} size`, down]]);
      isDown = false;
      expect((await scrape(metrics)).get(`larder_${of}_entries`)).toBe(3);
    },
  );

  it("have those of the process among them, all with larder's prefix", async () => {
    const samples = await scrape(create());
    expect(samples.get("larder_process_resident_memory_bytes")).toBeGreaterThan(0);
    expect([...samples.keys()].filter((name) => !name.startsWith("larder_"))).toEqual([]);
  });

  it("are each instance's own", async () => {
    const [one, other] = [create(), create()];
    one.collapsed();
    expect((await scrape(other)).get("larder_collapsed_total")).toBe(0);
  });

  it("are said to be Prometheus text", () => {
    expect(create().contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  it("do not keep a process alive", () => {
    const script = `
      import { createMetrics } from ${JSON.stringify(new URL("../../src/ops/metrics.ts", import.meta.url).href)};
      const size = () => ({ entries: 0, bytes: 0 });
      const metrics = createMetrics({ store: size, memory: size, files: () => ({ entries: 0, bytes: 0, filling: 0 }), isStoreUp: () => true, mirrors: () => [] }, () => {});
      await metrics.render();`;
    const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
      timeout: 10_000,
    });
    expect(status).toBe(0);
  });
});
