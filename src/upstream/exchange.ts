import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import type { Clock, EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable, type UpstreamFailure } from "../errors.ts";
import { explain, type Phase } from "./failures.ts";
import type { ResponseHeaders } from "./headers.ts";

/** One request to one place, and how long it may take. */
export interface ExchangeRequest {
  /** GET where not given. */
  readonly method?: "GET" | "HEAD" | "POST" | undefined;
  /** Of a POST. */
  readonly body?: string | undefined;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Request target in origin form, sent as it is. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** From the request sent to the head of the answer received. */
  readonly firstByteMs: Ms;
  /** Between two pieces of the body; does not run while the reader holds the body back. */
  readonly betweenBytesMs: Ms;
  /** When all must be done, waiting for a connection and reading the body included; undefined for no such bound. */
  readonly deadlineAt: EpochMs | undefined;
  /** The deadline is for the head alone: a file's body may take as long as it goes on. */
  readonly deadlineForHead?: boolean | undefined;
}

/** An answer whose head has come. */
export interface Exchange {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** When the head came. */
  readonly receivedAt: EpochMs;
  /**
   * The body as sent, undecoded. The caller must read it to its end, `discard` it or destroy it; it fails with
   * UpstreamUnavailable when it stalls, breaks or ends early.
   */
  readonly body: Readable;
}

/**
 * Sends a request, and resolves with the head of the answer, whatever its status.
 *
 * The timers are ours (undici's are coarse to half a second), the time to connect excepted, which is the
 * dispatcher's: a request that only waits for a free connection must not be taken for one that cannot connect.
 *
 * @throws UpstreamUnavailable when no head came: connect, connect-timeout, first-byte-timeout, whole-timeout, reset
 */
export function exchange(request: ExchangeRequest): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const handler = new ExchangeHandler(request, resolve, reject);
    const { dispatcher, origin, path, headers, method = "GET", body } = request;
    const sent = { origin, path, method, headers, ...(body !== undefined && { body }) };
    dispatcher.dispatch({ ...sent, headersTimeout: 0, bodyTimeout: 0 }, handler);
  });
}

// What is left of an answer nobody wants: short enough to be read, so that its connection can be used again.
const DISCARD_BYTES = 64 * 1024;

/** Lets go of a body: a short one is read so that its connection can be kept, a long one costs the connection. */
export function discard(body: Readable): void {
  let left = DISCARD_BYTES;
  body.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) body.destroy();
  });
}

class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #request: ExchangeRequest;
  readonly #resolve: (answer: Exchange) => void;
  readonly #reject: (failure: UpstreamUnavailable) => void;
  #phase: Phase = "connecting";
  #ended = false;
  #failure: UpstreamUnavailable | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #body: Readable | undefined;
  #cancelWhole: () => void = nothing;
  #cancelStep: () => void = nothing;

  constructor(
    request: ExchangeRequest,
    resolve: (answer: Exchange) => void,
    reject: (failure: UpstreamUnavailable) => void,
  ) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    if (request.deadlineAt === undefined) return;
    const leftMs = Math.max(0, request.deadlineAt - request.clock.now());
    this.#cancelWhole = request.clock.after(leftMs, () => this.#timeOut("whole-timeout"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Given up while it waited for a connection: undici cannot take it out of its queue.
    if (this.#failure !== undefined) {
      controller.abort(this.#failure);
      return;
    }
    this.#controller = controller;
    this.#phase = "waiting";
    this.#startStep(this.#request.firstByteMs, "first-byte-timeout");
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (status < 200) return; // RFC 9110 §15.2: an interim response is not the answer
    this.#phase = "body";
    if (this.#request.deadlineForHead === true) this.#cancelWhole();
    const body = this.#openBody(controller);
    this.#body = body;
    this.#startStep(this.#request.betweenBytesMs, "between-bytes-timeout");
    this.#resolve({ status, headers, receivedAt: this.#request.clock.now(), body });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const body = this.#body;
    if (body === undefined || body.destroyed) return;
    if (body.push(chunk)) {
      this.#startStep(this.#request.betweenBytesMs, "between-bytes-timeout");
      return;
    }
    // From here on the reader is slow, not upstream.
    this.#cancelStep();
    controller.pause();
  }

  onResponseEnd(): void {
    this.#end();
    this.#body?.push(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(explain(error, this.#phase, this.#target));
  }

  get #target(): string {
    const { method = "GET", origin, path } = this.#request;
    return `${method} ${origin}${path}`;
  }

  #openBody(controller: Dispatcher.DispatchController): Readable {
    const body = new Readable({
      read: () => {
        if (!controller.paused) return;
        this.#startStep(this.#request.betweenBytesMs, "between-bytes-timeout");
        controller.resume();
      },
      destroy: (error, done) => {
        // Also the way a reader lets go of the rest. After the end there is nothing left to abort.
        const ended = this.#ended;
        this.#end();
        if (!ended) controller.abort(error ?? new Error("the rest of the body is not wanted"));
        done(error);
      },
    });
    // A failure reaches whoever reads the body; before anybody does it must not take the process down.
    body.on("error", nothing);
    return body;
  }

  #startStep(delayMs: Ms, failure: UpstreamFailure): void {
    this.#cancelStep();
    this.#cancelStep = this.#request.clock.after(delayMs, () => this.#timeOut(failure));
  }

  #timeOut(failure: UpstreamFailure): void {
    const where = this.#phase === "connecting" ? "no connection was free" : `in phase "${this.#phase}"`;
    this.#fail(new UpstreamUnavailable(failure, `${this.#target}: ${failure} (${where})`));
  }

  #fail(failure: UpstreamUnavailable): void {
    if (this.#ended) return;
    if (this.#body !== undefined) {
      this.#body.destroy(failure); // aborts, ends, and tells the reader
      return;
    }
    this.#end();
    this.#failure = failure;
    this.#controller?.abort(failure);
    this.#reject(failure);
  }

  #end(): void {
    this.#ended = true;
    this.#cancelWhole();
    this.#cancelStep();
  }
}

function nothing(): void {
  // Nothing to cancel, nothing to report.
}
