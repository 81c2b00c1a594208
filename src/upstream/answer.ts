import type { EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Coding } from "../store/store.ts";
import { collectBody } from "./body.ts";
import { discard, type Exchange } from "./exchange.ts";
import * as fields from "./headers.ts";

/** What every answer tells. */
export interface AnswerHead {
  /** Upstream's own `Date`, an HTTP-date; the time of receipt where it sent none that is valid. */
  readonly date: string;
  /** When the request was begun and when the head of the answer came (RFC 9111 §4.2.3). */
  readonly requestedAt: EpochMs;
  readonly receivedAt: EpochMs;
  /** What `Age` said; 0 without one. */
  readonly ageMs: Ms;
  /** As of when this is upstream's answer: `requestedAt` less `ageMs`. */
  readonly confirmedAt: EpochMs;
}

/** 200: a body, as sent. */
export interface DocumentAnswer extends AnswerHead {
  readonly kind: "ok";
  /** The bytes as sent, undecoded; complete as far as HTTP can tell, not yet decoded or validated. */
  readonly body: Buffer;
  readonly coding: Coding;
  /** Hex SHA-256 of `body`, coding and all. */
  readonly digest: string;
  /** As sent, quotes included. */
  readonly etag: string | undefined;
  /**
   * Whether `body` has the MD5 that its ETag states: true proves it whole, false is worth a log line and nothing
   * more (facts/pypi.md §10.1); undefined where the ETag is not of that form.
   */
  readonly etagMatched: boolean | undefined;
  /** `X-PyPI-Last-Serial`. */
  readonly serial: number | undefined;
  /** As sent; `application/octet-stream` where upstream said none. */
  readonly contentType: string;
}

/** 304: what was sent as If-None-Match is still current. */
export interface NotModifiedAnswer extends AnswerHead {
  readonly kind: "not-modified";
  /** The answer's own ETag, or the one that was asked about. */
  readonly etag: string;
  /** Often absent: the edge strips it from a 304 (facts/pypi.md §1.6). */
  readonly serial: number | undefined;
}

/** 404 or 410: upstream says that there is no such thing. */
export interface AbsentAnswer extends AnswerHead {
  readonly kind: "absent";
  readonly status: 404 | 410;
}

/** What upstream can say of a resource. Everything else is UpstreamUnavailable, thrown. */
export type UpstreamAnswer = DocumentAnswer | NotModifiedAnswer | AbsentAnswer;

/** What is asked for. */
export interface GetRequest {
  /** The `Accept` to send. */
  readonly accept: string;
  /** A validator held, quotes included: sent as If-None-Match. */
  readonly etag?: string | undefined;
}

/** How to read an answer to `request`. */
export interface ReadOptions {
  readonly request: GetRequest;
  readonly requestedAt: EpochMs;
  readonly maxBytes: number;
}

/**
 * Makes an answer of an exchange, reading its body where that is wanted.
 *
 * @throws UpstreamUnavailable when it is no answer to a read (status), no document (bad-coding, too-large), or its body fails
 */
export async function readAnswer(opened: Exchange, options: ReadOptions): Promise<UpstreamAnswer> {
  const { status, headers } = opened;
  if (status === 200) return readBody(opened, options);
  discard(opened.body);
  const head = answerHead(opened, options.requestedAt);
  const { etag } = options.request;
  if (status === 304 && etag !== undefined) {
    const current = fields.fieldValue(headers, "etag") ?? etag;
    return { kind: "not-modified", ...head, etag: current, serial: fields.lastSerial(headers) };
  }
  if (status === 404 || status === 410) return { kind: "absent", ...head, status };
  throw refusal(opened);
}

async function readBody(opened: Exchange, options: ReadOptions): Promise<DocumentAnswer> {
  const { headers, body } = opened;
  const contentType = fields.fieldValue(headers, "content-type");
  const coding = fields.contentCoding(headers);
  if (coding === undefined) {
    discard(body);
    throw new UpstreamUnavailable("bad-coding", "the answer has a coding that was not asked for", {
      status: 200,
    });
  }
  const collected = await collectBody(body, fields.announcedBytes(headers), options.maxBytes);
  const etag = fields.fieldValue(headers, "etag");
  const checksum = fields.etagChecksum(etag);
  return {
    kind: "ok",
    ...answerHead(opened, options.requestedAt),
    body: collected.bytes,
    coding,
    digest: collected.sha256,
    etag,
    etagMatched: checksum === undefined ? undefined : checksum === collected.md5,
    serial: fields.lastSerial(headers),
    contentType: contentType ?? "application/octet-stream",
  };
}

/** What every answer tells, read from its header fields. */
export function answerHead(opened: Exchange, requestedAt: EpochMs): AnswerHead {
  const { headers, receivedAt } = opened;
  const ageMs = fields.ageMs(headers);
  const date = fields.originDate(headers, receivedAt);
  return { date, requestedAt, receivedAt, ageMs, confirmedAt: requestedAt - ageMs };
}

/** 429, 5xx, a block page, a status that answers no read. */
export function refusal(opened: Exchange): UpstreamUnavailable {
  const { status, headers, receivedAt } = opened;
  const askedMs = fields.retryAfterMs(headers, receivedAt);
  // Edges put `Retry-After: 0` on an error of their own: that is no wish to be left alone.
  const resting = status === 429 || (status === 503 && askedMs !== undefined && askedMs > 0);
  return new UpstreamUnavailable(resting ? "rate-limited" : "status", `upstream answered ${status}`, {
    status,
    retryAfterMs: askedMs,
  });
}
