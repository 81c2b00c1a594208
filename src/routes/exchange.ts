import { type IncomingMessage, ServerResponse } from "node:http";
import type { Context } from "hono";
import { type CacheStatus, LOCAL } from "../cache/cache-status.ts";

/** What a request turned out to be, for log line and metrics: one value, set where the answer is sent. */
export interface Outcome {
  /** The route's name, of a closed set; never a path that a client made up. */
  route: string;
  cacheStatus: CacheStatus;
}

/** The response side of one request, with what log and metrics want to know of it. */
export class Outgoing extends ServerResponse {
  readonly outcome: Outcome = { route: "none", cacheStatus: LOCAL };
  readonly startedAtMs = performance.now();
  /** Whether the client asked for the path that was routed, character by character (no `//`, no prefix). */
  isPathAsSent = true;
  /** What the request is known by, see Shortcuts; undefined for one that is always read anew. */
  shortcutKey: string | undefined = undefined;
  // Node must not stamp a Date of its own on a stored answer (clients.md rule 12).
  override sendDate = false;
}

/** A request and the response to it, as Node has them. */
export interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: Outgoing;
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
