import type { Dispatcher } from "undici";
import type { Clock, EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable, type UpstreamFailure } from "../errors.ts";
import type { Limiter, LimiterState, Pass } from "../fleet/limiter.ts";
import { readAnswer, type GetRequest, type UpstreamAnswer } from "./answer.ts";
import type { Egress } from "./dispatcher.ts";
import { discard, exchange, type Exchange } from "./exchange.ts";
import { mayRetry, passEndOf } from "./failures.ts";
import { type PostAnswer, postHeaders, type PostRequest, readPost } from "./post.ts";
import { nextLocation, type Location } from "./redirects.ts";
import { type FileAnswer, readStream, type StreamRequest } from "./stream.ts";

export type { FileAnswer, StreamAnswer, StreamRequest } from "./stream.ts";
export type { DocumentAnswer, GetRequest, UpstreamAnswer } from "./answer.ts";

/** What an upstream is made of. */
export interface UpstreamOptions {
  /** http(s) URL; may have a path, under which all paths are asked for. */
  readonly baseUrl: string;
  readonly egress: Egress;
  /** The whole `User-Agent`: one honest name for all clients (facts/pypi.md §8.24). */
  readonly userAgent: string;
  readonly clock: Clock;
  /** How this upstream is treated, by all who ask it. */
  readonly limiter: Limiter;
  readonly timeouts: {
    /** From the request sent to the head of the answer. */
    readonly firstByteMs: Ms;
    /** Between two pieces of a body. */
    readonly betweenBytesMs: Ms;
    /**
     * For one `get`, its redirects, its retry and the wait for a free connection included; of a `stream` for all
     * that comes before its body.
     */
    readonly wholeMs: Ms;
  };
  /** Bound of a body as sent. */
  readonly maxDocumentBytes: number;
  /** Upstream is not asked at all. */
  readonly offline: boolean;
  /** Told of each attempt over the network, once, redirects included; never of a request that was not sent. */
  readonly onExchange?: (exchange: ExchangeReport) => void;
}

/** One attempt, for the metrics. */
export interface ExchangeReport {
  readonly outcome: UpstreamAnswer["kind"] | FileAnswer["kind"] | UpstreamFailure;
  readonly ms: Ms;
  /** Of the body, as sent; 0 where none was kept. Of a stream always 0: told when its head has come. */
  readonly bytes: number;
  readonly isRetry: boolean;
}

/** How upstream has been doing, for /readyz. */
export interface UpstreamState extends LimiterState {
  /** When an answer of any kind was last complete. */
  readonly lastOkAt: EpochMs | undefined;
  /** The last failed attempt, even where the retry then did better. */
  readonly lastFailure:
    { readonly at: EpochMs; readonly failure: UpstreamFailure; readonly message: string } | undefined;
}

/** The PyPI side. */
export interface Upstream {
  /**
   * Asks for one document.
   *
   * @param path in origin form below the base URL, percent-encoded, such as `/pypi/django/json`
   * @throws UpstreamUnavailable whenever upstream gave no answer that can be trusted: never to be read as absence
   */
  get(path: string, request: GetRequest): Promise<UpstreamAnswer>;
  /**
   * Asks what no path can say. Never redirected; asked twice where a connection breaks.
   *
   * @param path as for `get`
   * @throws UpstreamUnavailable for any status but 200
   */
  post(path: string, request: PostRequest): Promise<PostAnswer>;
  /**
   * Asks for one file, or the rest of one, and resolves when the head of the answer has come.
   *
   * @param path as for `get`
   * @throws UpstreamUnavailable as `get`; the body may fail later, with the same class
   */
  stream(path: string, request: StreamRequest): Promise<FileAnswer>;
  state(): UpstreamState;
  /** Breaks what is under way, and closes the egress. */
  close(): Promise<void>;
}

type Answered = UpstreamAnswer | FileAnswer;

/** What one attempt runs on. */
interface Attempt {
  readonly dispatcher: Dispatcher;
  readonly isRetry: boolean;
  readonly deadlineAt: EpochMs;
  readonly method?: "GET" | "HEAD" | "POST";
  readonly body?: string;
  readonly deadlineForHead?: boolean;
  /** Where it is not the upstream's own. */
  readonly firstByteMs?: Ms;
}

// What a retry has for its first byte, however late it is.
const LEAST_FIRST_BYTE_MS: Ms = 1_500;

/** Builds an upstream. Opens no connection by itself. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { clock, egress, limiter, timeouts } = options;
  const base = new URL(options.baseUrl);
  const basePath = base.pathname.replace(/\/+$/, "");
  let lastOkAt: EpochMs | undefined;
  let lastFailure: UpstreamState["lastFailure"];

  function refuseUnsent(): void {
    if (options.offline) throw new UpstreamUnavailable("offline", "upstream is not asked: offline");
  }

  /** The answer's head at the end of its redirects (RFC 9110 §15.4). */
  async function open(attempt: Attempt, start: Location, headers: Record<string, string>): Promise<Exchange> {
    const { betweenBytesMs } = timeouts;
    const { firstByteMs = timeouts.firstByteMs } = attempt;
    let location = start;
    for (let hops = 0; ; hops++) {
      const opened = await exchange({ ...attempt, ...location, clock, headers, firstByteMs, betweenBytesMs });
      const next = attempt.method === "POST" ? undefined : nextLocation(opened, location, hops);
      if (next === undefined) return opened;
      discard(opened.body);
      if (next instanceof UpstreamUnavailable) throw next;
      location = next;
    }
  }

  function report(attempt: Attempt, startedAt: EpochMs, result: Answered | UpstreamUnavailable): void {
    const failed = result instanceof UpstreamUnavailable;
    options.onExchange?.({
      outcome: failed ? result.failure : result.kind,
      ms: clock.now() - startedAt,
      bytes: !failed && result.kind === "ok" ? result.body.length : 0,
      isRetry: attempt.isRetry,
    });
  }

  function noteFailure(failure: UpstreamUnavailable): void {
    lastFailure = { at: clock.now(), failure: failure.failure, message: failure.message };
  }

  /** One attempt, told to who counts them. `read` makes an answer of what was opened. */
  async function attemptOne<T extends Answered>(
    attempt: Attempt,
    path: string,
    headers: Record<string, string>,
    read: (opened: Exchange, requestedAt: EpochMs) => Promise<T> | T,
  ): Promise<T> {
    const pass = await limiter.enter(Math.max(0, attempt.deadlineAt - clock.now()));
    const requestedAt = clock.now();
    try {
      const opened = await open(attempt, { origin: base.origin, path: basePath + path }, headers);
      const answer = await read(opened, requestedAt);
      lastOkAt = clock.now();
      report(attempt, requestedAt, answer);
      endWith(answer, pass);
      return answer;
    } catch (error) {
      pass.end(passEndOf(error));
      if (!(error instanceof UpstreamUnavailable)) throw error;
      noteFailure(error);
      report(attempt, requestedAt, error);
      throw error;
    }
  }

  /** At most one retry, on a connection of its own: the first may have died unnoticed while it was kept. */
  async function withRetry<T>(run: (attempt: Attempt) => Promise<T>): Promise<T> {
    const startedAt = clock.now();
    const deadlineAt = startedAt + timeouts.wholeMs;
    try {
      return await run({ dispatcher: egress.pooled, isRetry: false, deadlineAt });
    } catch (error) {
      if (!(error instanceof UpstreamUnavailable) || !mayRetry(error)) throw error;
      // Both together are as long as one may take: clients wait no longer for a first byte (clients.md rule 26).
      const leftMs = startedAt + timeouts.firstByteMs - clock.now();
      const firstByteMs = Math.max(leftMs, Math.min(LEAST_FIRST_BYTE_MS, timeouts.firstByteMs));
      // The breaker may have opened on this very failure: then it is what there is to tell.
      return await egress
        .onFreshConnection((dispatcher) => run({ dispatcher, isRetry: true, deadlineAt, firstByteMs }))
        .catch((second: unknown) => {
          throw isRefusal(second) ? error : second;
        });
    }
  }

  function refusePath(path: string): void {
    if (!ORIGIN_FORM.test(path)) throw new TypeError("a path must begin with / and be percent-encoded");
  }

  /** What is still to come of a body counts as under way; that it then fails is no matter of this attempt any more. */
  function endWith(answer: Answered, pass: Pass): void {
    if (answer.kind !== "stream") {
      pass.end({ kind: "answered" });
      return;
    }
    answer.body.once("error", (error) => {
      if (error instanceof UpstreamUnavailable) noteFailure(error);
    });
    answer.body.once("close", () => pass.end({ kind: "answered" }));
  }

  return {
    get: async (path, request) => {
      refusePath(path);
      refuseUnsent();
      const headers = requestHeaders(options.userAgent, request);
      const { maxDocumentBytes: maxBytes } = options;
      return withRetry((attempt) =>
        attemptOne(attempt, path, headers, (opened, requestedAt) =>
          readAnswer(opened, { request, requestedAt, maxBytes }),
        ),
      );
    },
    post: async (path, request) => {
      refusePath(path);
      refuseUnsent();
      const headers = postHeaders(options.userAgent, request);
      const { maxBytes = options.maxDocumentBytes, body } = request;
      return withRetry((attempt) =>
        attemptOne({ ...attempt, method: "POST", body }, path, headers, (opened, requestedAt) =>
          readPost(opened, request, requestedAt, maxBytes),
        ),
      );
    },
    stream: async (path, request) => {
      refusePath(path);
      refuseUnsent();
      const headers = streamHeaders(options.userAgent, request);
      const run = (attempt: Attempt) =>
        attemptOne(
          { ...attempt, method: request.method, deadlineForHead: true },
          path,
          headers,
          (opened, requestedAt) => readStream(opened, request, requestedAt),
        );
      return request.onFreshConnection === true
        ? egress.onFreshConnection((dispatcher) =>
            run({ dispatcher, isRetry: true, deadlineAt: clock.now() + timeouts.wholeMs }),
          )
        : withRetry(run);
    },
    state: () => ({ lastOkAt, lastFailure, ...limiter.state() }),
    close: () => egress.close(),
  };
}

/** Not upstream's answer, but ours to the wish to ask it. */
function isRefusal(error: unknown): boolean {
  return error instanceof UpstreamUnavailable && (error.failure === "breaker" || error.failure === "busy");
}

// RFC 9112 §3.2.1. Anything else would not arrive as it was meant.
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x7e]*$/;

/** All that upstream is told: nothing of the client's own request is passed on. */
function requestHeaders(userAgent: string, request: GetRequest): Record<string, string> {
  return {
    accept: request.accept,
    "accept-encoding": "gzip",
    "user-agent": userAgent,
    ...(request.etag === undefined ? {} : { "if-none-match": request.etag }),
  };
}

/** Identity always: what is hashed is what is sent (clients.md rule 10). */
function streamHeaders(userAgent: string, { startAt = 0 }: StreamRequest): Record<string, string> {
  return {
    accept: "*/*",
    "accept-encoding": "identity",
    "user-agent": userAgent,
    ...(startAt === 0 ? {} : { range: `bytes=${startAt}-` }),
  };
}
