import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type CacheStatus, LOCAL, renderCacheStatus } from "../cache/cache-status.ts";
import type { PlainExchange } from "./exchange.ts";
import { Head } from "./head.ts";

/** An answer, whole. */
export interface Reply {
  readonly status: number;
  /** Name, value, name, value; without Content-Length, Cache-Status. */
  readonly fields: readonly string[];
  /** undefined for a status that has none (304); a string has a byte for each character (latin1). */
  readonly body: Buffer | string | undefined;
  readonly cacheStatus: CacheStatus;
  /** When upstream made it (`Date`); the present instant for what larder says itself. */
  readonly date?: string;
}

/**
 * Sends an answer on the Node response itself, so that a stored one goes out as the bytes it is. A HEAD gets the
 * fields of the GET and no body (RFC 9110 §9.3.2).
 */
export function send(exchange: PlainExchange, route: string, reply: Reply): Response {
  return sendRendered(exchange, route, reply, renderHead(reply));
}

/** The fields of an answer with those that every answer has: name, value, name, value. */
export function renderFields({
  fields,
  date,
  cacheStatus,
}: Pick<Reply, "fields" | "date" | "cacheStatus">): string[] {
  return [
    ...fields,
    "Date",
    date ?? new Date().toUTCString(),
    "Cache-Status",
    renderCacheStatus(cacheStatus),
  ];
}

/** The same, with the length of a body that is there. */
export function renderHead(reply: Reply): Head {
  const { body, status } = reply;
  const fields = renderFields(reply);
  if (body !== undefined) fields.push("Content-Length", String(body.length));
  return new Head(status, fields);
}

/** Sends an answer whose fields are rendered already; they are only read. */
export function sendRendered(
  { incoming, outgoing }: PlainExchange,
  route: string,
  { body, cacheStatus }: Pick<Reply, "body" | "cacheStatus">,
  head: Head,
): Response {
  outgoing.outcome.route = route;
  outgoing.outcome.cacheStatus = cacheStatus;
  outgoing.sendWhole(head, incoming.method === "HEAD" ? undefined : body);
  return RESPONSE_ALREADY_SENT;
}

/** A short plain text of larder's own: refusals, errors that no document has a form for. */
export function sendText(
  exchange: PlainExchange,
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
