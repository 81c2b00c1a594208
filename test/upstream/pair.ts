import { onTestFinished } from "vitest";
import { systemClock, type Clock, type Ms } from "../../src/clock.ts";
import { UpstreamUnavailable } from "../../src/errors.ts";
import { createEgress, type EgressOptions } from "../../src/upstream/dispatcher.ts";
import {
  createUpstream,
  type ExchangeReport,
  type Upstream,
  type UpstreamOptions,
} from "../../src/upstream/upstream.ts";
import { generousLimiter } from "../support/limiter.ts";
import { startUpstream, type FakeUpstream, type FakeUpstreamOptions } from "../support/upstream.ts";

/** The machine's clock, which a test can put forward; timers run in real time. */
export class SkippingClock implements Clock {
  #skippedMs: Ms = 0;

  now(): number {
    return systemClock.now() + this.#skippedMs;
  }

  after(delayMs: Ms, then: () => void): () => void {
    return systemClock.after(delayMs, then);
  }

  skip(ms: Ms): void {
    this.#skippedMs += ms;
  }
}

export interface PairOptions {
  readonly fake?: FakeUpstreamOptions;
  readonly egress?: Partial<EgressOptions>;
  readonly upstream?: Partial<UpstreamOptions>;
  /** Laid behind the fake's URL to make the base URL. */
  readonly basePath?: string;
  /** Laid over generous ones. */
  readonly timeouts?: Partial<UpstreamOptions["timeouts"]>;
}

export interface Pair {
  readonly fake: FakeUpstream;
  readonly upstream: Upstream;
  readonly clock: SkippingClock;
  readonly reports: ExchangeReport[];
}

const GENEROUS = { firstByteMs: 10_000, betweenBytesMs: 10_000, wholeMs: 20_000 };

/** A fake upstream and the client under test, connected; both are closed after the test. */
export async function startPair(options: PairOptions = {}): Promise<Pair> {
  const fake = await startUpstream(options.fake);
  const clock = new SkippingClock();
  const reports: ExchangeReport[] = [];
  const upstream = createUpstream({
    baseUrl: fake.url + (options.basePath ?? ""),
    egress: createEgress({ connectTimeoutMs: 10_000, connections: 8, ...options.egress }),
    userAgent: "larder/test (+https://example.org/contact)",
    clock,
    timeouts: { ...GENEROUS, ...options.timeouts },
    maxDocumentBytes: 64 * 1024 * 1024,
    limiter: generousLimiter(clock),
    offline: false,
    onExchange: (report) => reports.push(report),
    ...options.upstream,
  });
  onTestFinished(async () => {
    await upstream.close();
    await fake.close();
  });
  return { fake, upstream, clock, reports };
}

/** What a promise that must fail with UpstreamUnavailable fails with. */
export async function failureOf(promise: Promise<unknown>): Promise<UpstreamUnavailable> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof UpstreamUnavailable) return outcome;
  throw new Error("expected UpstreamUnavailable", { cause: outcome });
}

export const JSON_GET = { accept: "application/json" };
