import type { Readable } from "node:stream";
import { UpstreamUnavailable } from "../errors.ts";
import { type AbsentAnswer, type AnswerHead, answerHead, refusal } from "./answer.ts";
import { type ByteSpan, readContentRange } from "./content-range.ts";
import { discard, type Exchange } from "./exchange.ts";
import * as fields from "./headers.ts";

/** What part of a file is asked for. */
export interface StreamRequest {
  /** A HEAD has a body of no bytes. */
  readonly method: "GET" | "HEAD";
  /** First byte wanted; 0 asks for the whole file, without Range. */
  readonly startAt?: number | undefined;
  /** On a connection that nobody has used before: where the last one broke. */
  readonly onFreshConnection?: boolean | undefined;
}

/** 200 or 206: a file's bytes, as they come. */
export interface StreamAnswer extends AnswerHead {
  readonly kind: "stream";
  readonly status: 200 | 206;
  /** Where the body's first byte stands in the file: 0 where upstream ignored the Range. */
  readonly startAt: number;
  /** Length of the whole file, as announced; undefined where upstream does not say. */
  readonly totalBytes: number | undefined;
  /** As sent; `application/octet-stream` where upstream said none. */
  readonly contentType: string;
  /** As sent. */
  readonly lastModified: string | undefined;
  /**
   * Identity bytes. The caller must read it to its end or destroy it; it fails with UpstreamUnavailable when it
   * stalls, breaks or ends early.
   */
  readonly body: Readable;
}

/** What the files host can say of a path. Everything else is UpstreamUnavailable, thrown. */
export type FileAnswer = StreamAnswer | AbsentAnswer;

/**
 * Makes an answer of an exchange with the files host, its body unread.
 *
 * Storage answers 404 or 403 in XML for an object that is not there (facts/pypi.md §3: the archive's key may not
 * list). A 403 of any other form is a block page of the edge, and says nothing of the file.
 *
 * @throws UpstreamUnavailable when it is no answer to a read (status), or has a coding (bad-coding)
 */
export function readStream(
  opened: Exchange,
  request: StreamRequest,
  requestedAt: AnswerHead["requestedAt"],
): FileAnswer {
  const { status, headers, body } = opened;
  const head = answerHead(opened, requestedAt);
  if (isAbsence(opened)) {
    discard(body);
    return { kind: "absent", ...head, status: status === 410 ? 410 : 404 };
  }
  const span = spanOf(opened, request.method);
  if (span instanceof UpstreamUnavailable) {
    discard(body);
    throw span;
  }
  return {
    kind: "stream",
    ...head,
    status: status === 206 ? 206 : 200,
    ...span,
    contentType: fields.fieldValue(headers, "content-type") ?? "application/octet-stream",
    lastModified: fields.fieldValue(headers, "last-modified"),
    body,
  };
}

function isAbsence({ status, headers }: Exchange): boolean {
  if (status === 404 || status === 410) return true;
  const contentType = fields.fieldValue(headers, "content-type") ?? "";
  return status === 403 && /^(?:application|text)\/xml\b/i.test(contentType);
}

function spanOf(opened: Exchange, method: StreamRequest["method"]): ByteSpan | UpstreamUnavailable {
  const { status, headers } = opened;
  if (status !== 200 && status !== 206) return refusal(opened);
  if (fields.contentCoding(headers) !== "identity") {
    return new UpstreamUnavailable("bad-coding", "a file came with a coding that was not asked for", {
      status,
    });
  }
  if (status === 200) return { startAt: 0, totalBytes: fields.announcedBytes(headers) };
  const span = readContentRange(fields.fieldValue(headers, "content-range"));
  if (span !== undefined && method === "GET") return span;
  return new UpstreamUnavailable("status", "206 without a Content-Range that can be read", { status });
}
