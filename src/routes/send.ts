import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type CacheStatus, LOCAL, renderCacheStatus } from "../cache/cache-status.ts";
import type { Exchange } from "./exchange.ts";

/** An answer, whole. */
export interface Reply {
  readonly status: number;
  /** Name, value, name, value; without Content-Length, Cache-Status. */
  readonly fields: readonly string[];
  /** undefined for a status that has none (304). */
  readonly body: Buffer | undefined;
  readonly cacheStatus: CacheStatus;
  /** When upstream made it (`Date`); the present instant for what larder says itself. */
  readonly date?: string;
}

/**
 * Sends an answer on the Node response itself, so that a stored one goes out as the bytes it is. A HEAD gets the
 * fields of the GET and no body (RFC 9110 §9.3.2).
 */
export function send({ incoming, outgoing }: Exchange, route: string, reply: Reply): Response {
  outgoing.outcome.route = route;
  outgoing.outcome.cacheStatus = reply.cacheStatus;
  const fields = [...reply.fields, "Date", reply.date ?? new Date().toUTCString()];
  fields.push("Cache-Status", renderCacheStatus(reply.cacheStatus));
  if (reply.body !== undefined) fields.push("Content-Length", String(reply.body.length));
  outgoing.writeHead(reply.status, fields);
  outgoing.end(incoming.method === "HEAD" ? undefined : reply.body);
  return RESPONSE_ALREADY_SENT;
}

/** A short plain text of larder's own: refusals, errors that no document has a form for. */
export function sendText(
  exchange: Exchange,
  route: string,
  status: number,
  text: string,
  fields: string[] = [],
): Response {
  return send(exchange, route, {
    status,
    fields: ["Content-Type", "text/plain; charset=UTF-8", ...fields],
    body: Buffer.from(text),
    cacheStatus: LOCAL,
  });
}
