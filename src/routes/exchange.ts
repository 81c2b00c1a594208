import { type IncomingHttpHeaders, type IncomingMessage, ServerResponse } from "node:http";
import type { Context } from "hono";
import { type CacheStatus, LOCAL } from "../cache/cache-status.ts";
import type { Head } from "./head.ts";

/** The methods of reading (RFC 9110 §9.2.1), but `TRACE`. Upstream has them on all of its surfaces (facts/pypi.md §1.6). */
export const SAFE_METHODS: string[] = ["GET", "HEAD", "OPTIONS"];

/** What a request turned out to be, for log line and metrics: one value, set where the answer is sent. */
export interface Outcome {
  /** The route's name, of a closed set; never a path that a client made up. */
  route: string;
  cacheStatus: CacheStatus;
}

/** What of a request an answer in one piece is made from. */
export interface RequestHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<IncomingHttpHeaders>;
}

/** Where an answer in one piece goes. */
export interface WholeReply {
  readonly outcome: Outcome;
  /** Sends it. @param body undefined for none; a string has a byte for each character (latin1) */
  sendWhole(head: Head, body: Buffer | string | undefined): void;
}

/** A request, and where its answer goes, as far as an answer in one piece needs them. */
export interface PlainExchange {
  readonly incoming: RequestHead;
  readonly outgoing: WholeReply;
}

/** The end of a request, for log line and metrics. */
export interface DoneExchange {
  readonly incoming: RequestHead;
  readonly outgoing: {
    readonly outcome: Outcome;
    readonly startedAtMs: number;
    readonly statusCode: number;
    /** Whether all of the answer has left this process. */
    readonly writableFinished: boolean;
  };
}

/** The response side of one request, with what log and metrics want to know of it. */
export class Outgoing extends ServerResponse implements WholeReply {
  readonly outcome: Outcome = { route: "none", cacheStatus: LOCAL };
  readonly startedAtMs = performance.now();
  /** Whether the client asked for the path that was routed, character by character (no `//`, no prefix). */
  isPathAsSent = true;
  /** What the request is known by, see Shortcuts; undefined for one that is always read anew. */
  shortcutKey: string | undefined = undefined;
  /** Who answers it when it comes again, see Repeats; undefined where that would have to be found out anew. */
  repeatable: Serve | undefined = undefined;
  // Node must not stamp a Date of its own on a stored answer (clients.md rule 12).
  override sendDate = false;

  sendWhole({ status, fields }: Head, body: Buffer | string | undefined): void {
    this.writeHead(status, fields);
    if (body === undefined) this.end();
    else if (typeof body === "string") this.end(body, "latin1");
    else this.end(body);
  }
}

/** A request and the response to it, as Node has them. */
export interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: Outgoing;
}

/**
 * Answers requests, all of which but their conditions has been read: of one it may look at these (`If-None-Match`, `Range`,
 * `Cache-Control`, ...) and at the method, and at nothing else.
 */
export interface Serve {
  /** Where memory has all that is to be sent; else undefined, and nothing was sent. */
  readonly ready: (exchange: PlainExchange) => Response | undefined;
  /** Whatever it takes. */
  readonly later: (exchange: Exchange) => Response | Promise<Response>;
}

/** The environment of Hono's handlers under the Node server. */
export interface Bindings {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

export type RouteContext = Context<{ Bindings: Bindings }>;

/** The exchange behind a Hono context. */
export function exchangeOf(context: RouteContext): Exchange {
  const { incoming, outgoing } = context.env;
  if (!(outgoing instanceof Outgoing)) throw new TypeError("the server was not made by createServer");
  return { incoming, outgoing };
}
