import { setTimeout as wait } from "node:timers/promises";
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { etagOf, textAnswer, type Answer } from "./answers.ts";
import { faultAnswer } from "./changelog.ts";

/** What can be wrong with an answer that is otherwise sent as it should be. */
export type AnswerFault =
  /** An error page, HTML as the edge makes it; `retryAfter` as it is to be sent. */
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: string }
  /** 403 in plain text: this address is blocked. */
  | { readonly kind: "blocked" }
  /** A fault of XML-RPC, with status 200; over its limit PyPI says so (facts/pypi.md §4.2). */
  | { readonly kind: "xmlrpc-fault"; readonly message: string }
  /** A challenge page with status 200. */
  | { readonly kind: "html" }
  /** 200, application/json, whose body is none. */
  | { readonly kind: "not-json" }
  /** A gzip whose CRC is wrong, or that ends early under a right Content-Length. */
  | { readonly kind: "bad-gzip"; readonly how: "crc" | "truncated" }
  /** An ETag of the right form that is not the body's MD5. */
  | { readonly kind: "wrong-etag" }
  | { readonly kind: "redirect"; readonly location: string; readonly status?: number }
  /** Fields set, or taken away where undefined; on a 304 too. */
  | { readonly kind: "headers"; readonly headers: Readonly<Record<string, string | undefined>> };

/** What can go wrong while it is sent. */
export type DeliveryFault =
  /** Accepted, read, never answered. */
  | { readonly kind: "never-answer" }
  | { readonly kind: "hang-after-head" }
  | { readonly kind: "hang-in-body"; readonly afterBytes?: number }
  | { readonly kind: "reset-before-head" }
  | { readonly kind: "reset-in-body"; readonly afterBytes?: number }
  /** A clean FIN before any head: a kept connection that upstream has let go of. */
  | { readonly kind: "close-before-head" }
  /** A clean FIN while Content-Length (or the chunked coding) still announces more. */
  | { readonly kind: "truncated"; readonly chunked?: boolean }
  /** The body, and then more than Content-Length announced. */
  | { readonly kind: "over-long" }
  /** The body under a Content-Length that is too short for it. */
  | { readonly kind: "short-length"; readonly byBytes?: number }
  /** The body without any Content-Length, in chunks. */
  | { readonly kind: "chunked" }
  /** Bytes that are no HTTP. */
  | { readonly kind: "not-http" }
  /** The body in small pieces with a pause after each. */
  | { readonly kind: "slow"; readonly pieceBytes: number; readonly everyMs: number };

export type Fault = AnswerFault | DeliveryFault;

const DELIVERY: ReadonlySet<Fault["kind"]> = new Set<DeliveryFault["kind"]>([
  "never-answer",
  "hang-after-head",
  "hang-in-body",
  "reset-before-head",
  "reset-in-body",
  "close-before-head",
  "truncated",
  "over-long",
  "short-length",
  "chunked",
  "not-http",
  "slow",
]);

export function isDeliveryFault(fault: Fault): fault is DeliveryFault {
  return DELIVERY.has(fault.kind);
}

/** The answer with the fault in it. */
export function alter(fault: AnswerFault, answer: Answer): Answer {
  switch (fault.kind) {
    case "status":
      return errorPage(fault.status, fault.retryAfter);
    case "blocked":
      return textAnswer(403, "text/plain", "Your IP Address has been temporarily blocked.");
    case "xmlrpc-fault":
      return faultAnswer(-32500, fault.message);
    case "html":
      return textAnswer(200, "text/html; charset=utf-8", "<!doctype html><title>Client Challenge</title>");
    case "not-json":
      return textAnswer(200, "application/json", "Traceback (most recent call last):");
    case "bad-gzip":
      return answer.headers["content-encoding"] === "gzip"
        ? withBody(answer, spoil(answer.body, fault.how))
        : answer;
    case "wrong-etag":
      return { ...answer, headers: { ...answer.headers, etag: etagOf(Buffer.from("something else")) } };
    case "redirect":
      return textAnswer(fault.status ?? 302, "text/html", "<title>Found</title>", {
        location: fault.location,
      });
    case "headers":
      return { ...answer, headers: withFields(answer.headers, fault.headers) };
  }
}

function errorPage(status: number, retryAfter: string | undefined): Answer {
  const reason = STATUS_CODES[status] ?? "";
  const headers = retryAfter === undefined ? {} : { "retry-after": retryAfter };
  return textAnswer(status, "text/html; charset=utf-8", `<html><h1>${status} ${reason}</h1></html>`, headers);
}

function spoil(gzip: Buffer, how: "crc" | "truncated"): Buffer {
  if (how === "truncated") return gzip.subarray(0, Math.floor(gzip.length / 2));
  const spoiled = Buffer.from(gzip);
  const crcAt = spoiled.length - 8; // RFC 1952 §2.3.1: CRC32 and length are the last eight bytes
  spoiled[crcAt] = (spoiled[crcAt] ?? 0) ^ 0xff;
  return spoiled;
}

/** Another body, with the Content-Length and the ETag that belong to it: only decoding can find it out. */
function withBody(answer: Answer, body: Buffer): Answer {
  const headers = { ...answer.headers, "content-length": String(body.length), etag: etagOf(body) };
  return { ...answer, headers, body };
}

function withFields(
  headers: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const changed: Record<string, string | undefined> = { ...headers, ...changes };
  return Object.fromEntries(
    Object.entries(changed).filter((field): field is [string, string] => field[1] !== undefined),
  );
}

/** Sends an answer the wrong way, byte by byte on the socket: Node's own server would not. */
export async function deliver(fault: DeliveryFault, answer: Answer, socket: Socket): Promise<void> {
  const { body } = answer;
  const half = Math.floor(body.length / 2);
  switch (fault.kind) {
    case "never-answer":
      return;
    case "hang-after-head":
      socket.write(headOf(answer));
      return;
    case "hang-in-body":
      socket.write(headOf(answer));
      socket.write(body.subarray(0, fault.afterBytes ?? half));
      return;
    case "reset-before-head":
      socket.resetAndDestroy();
      return;
    case "reset-in-body":
      socket.write(headOf(answer));
      // The reset would overtake what has not left yet.
      socket.write(body.subarray(0, fault.afterBytes ?? half), () => socket.resetAndDestroy());
      return;
    case "close-before-head":
      socket.end();
      return;
    case "truncated":
      if (fault.chunked === true) socket.write(headOf(answer, { "transfer-encoding": "chunked" }));
      else socket.write(headOf(answer));
      if (fault.chunked === true) socket.write(`${body.length.toString(16)}\r\n`);
      socket.end(body.subarray(0, half));
      return;
    case "over-long":
      socket.write(headOf(answer));
      socket.end(Buffer.concat([body, Buffer.from("and more than was announced")]));
      return;
    case "short-length": {
      const announced = String(body.length - (fault.byBytes ?? 10));
      socket.write(headOf(answer, { "content-length": announced }));
      socket.end(body);
      return;
    }
    case "chunked":
      socket.write(headOf(answer, { "transfer-encoding": "chunked" }));
      socket.end(
        Buffer.concat([chunk(body.subarray(0, half)), chunk(body.subarray(half)), Buffer.from("0\r\n\r\n")]),
      );
      return;
    case "not-http":
      socket.end("220 this is no web server\r\n");
      return;
    case "slow":
      await drip(socket, answer, fault.pieceBytes, fault.everyMs);
  }
}

async function drip(socket: Socket, answer: Answer, pieceBytes: number, everyMs: number): Promise<void> {
  socket.write(headOf(answer));
  for (let at = 0; at < answer.body.length && !socket.destroyed; at += pieceBytes) {
    socket.write(answer.body.subarray(at, at + pieceBytes));
    await wait(everyMs, undefined, { ref: false });
  }
  socket.end();
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

function headOf(answer: Answer, changes: Readonly<Record<string, string>> = {}): string {
  const length = "transfer-encoding" in changes ? { "content-length": undefined } : {};
  const headers = withFields(answer.headers, { ...length, ...changes });
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ""}\r\n${fields.join("")}\r\n`;
}
