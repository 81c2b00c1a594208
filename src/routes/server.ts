import { type IncomingMessage, type Server, createServer as createHttpServer } from "node:http";
import { Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import { Connection } from "./connection.ts";
import { type Bindings, type DoneExchange, type Exchange, Outgoing } from "./exchange.ts";
import { KEEP_ALIVE_MS } from "./head.ts";
import { HttpSide } from "./http-side.ts";
import { isHost } from "./public-base.ts";
import type { Repeats } from "./repeats.ts";
import { sendText } from "./send.ts";
import type { Shortcuts } from "./shortcuts.ts";
import { readTarget } from "./target.ts";

export interface ServerOptions {
  /** Answers a request whose target has been cleaned; its answer has been sent when this is done. */
  readonly fetch: Hono<{ Bindings: Bindings }>["fetch"];
  /** Ways around all that, of requests that have been read before. */
  readonly shortcuts?: Shortcuts;
  readonly repeats?: Repeats;
  /** Path prefix of the public URL, or "". */
  readonly prefix: string;
  /** Methods that reach the routes; any other is refused here, whatever the path. */
  readonly methods: readonly string[];
  /** Why this path is refused to a method other than reading, for a person. */
  readonly refusalOf: (path: string) => string;
  /** Called once when a request is over, answered or abandoned. */
  readonly onDone: (exchange: DoneExchange) => void;
}

// No installer sends a second request before it has the answer to the first; each holds its answer until that has left.
const MOST_UNANSWERED = 16;

const HEADERS_MS = 30_000;
const REQUEST_MS = 60_000;

/** A server that can be told to end. */
export interface LarderServer {
  readonly http: Server<typeof IncomingMessage, typeof Outgoing>;
  /**
   * Takes no more connections and lets requests under way end. A connection's next request is its last, and idle
   * connections are closed once `closeIdle` has been called; `cutOff` breaks all that is left.
   */
  drain(): {
    readonly drained: Promise<void>;
    readonly closeIdle: () => void;
    readonly cutOff: () => void;
  };
}

/**
 * The HTTP server: what came before in the same bytes is answered on its connection, its door refuses what no route could
 * answer, and the rest goes to the router.
 */
export function createServer(options: ServerOptions): LarderServer {
  const state: DoorState = { underWay: new Set(), isDraining: false, closeIdle: undefined };
  const http = createHttpServer(
    { ServerResponse: Outgoing, requireHostHeader: false, ...TIMEOUTS },
    door(options, createRoute(options), state),
  );
  http.on("clientError", refuseGarbage);
  http.on("checkExpectation", (incoming, outgoing) => {
    begin({ incoming, outgoing }, options, state);
    sendText(
      { incoming, outgoing },
      "refused",
      417,
      "417 Expectation Failed: there is nothing to expect of a read\n",
    );
  });
  http.on("connect", (_, socket) => refuseTunnel(socket, options));
  const connections = lookAtConnections(http, options, state);
  return {
    http,
    drain: () => {
      // A client must not send its next request into a connection that is about to close (clients.md rule 25).
      state.isDraining = true;
      const closeIdle = (): void => {
        state.closeIdle = closeIdle;
        for (const connection of connections) if (connection.isIdle) connection.destroy();
      };
      for (const outgoing of state.underWay) {
        outgoing.shouldKeepAlive = false;
        // One whose head had gone out before leaves an idle connection behind.
        outgoing.once("close", () => setImmediate(() => state.closeIdle?.()));
      }
      // That of http.Server would close idle connections now: one whose next request is on its way among them.
      const drained = new Promise<void>(
        (resolve) => void NetServer.prototype.close.call(http, () => resolve()),
      );
      const cutOff = (): void => {
        for (const connection of connections) connection.destroy();
      };
      return { drained, closeIdle, cutOff };
    },
  };
}

/** Puts itself between the server's sockets and what reads HTTP from them. @returns those that are open */
function lookAtConnections(
  http: LarderServer["http"],
  { repeats, onDone }: ServerOptions,
  state: DoorState,
): ReadonlySet<Connection> {
  const open = new Set<Connection>();
  const readers = http.listeners("connection");
  http.removeAllListeners("connection");
  http.on("connection", (socket: Socket) => {
    const connection = new Connection(socket, {
      repeats,
      parse: (side) => {
        for (const read of readers) Reflect.apply(read, http, [side]);
      },
      mayGoOn: () => !state.isDraining,
      onDone: (exchange) => {
        onDone(exchange);
        state.closeIdle?.();
      },
    });
    open.add(connection);
    socket.once("close", () => open.delete(connection));
  });
  return open;
}

type Route = (incoming: IncomingMessage, outgoing: Outgoing) => Promise<void>;

function createRoute(options: ServerOptions): Route {
  const listener = (request: Request, bindings: object) => {
    const response = options.fetch(request, bindings);
    // Hono makes a new Response of the one to a HEAD, which no longer says that it was sent (send.ts).
    return request.method === "HEAD" ? Promise.resolve(response).then(() => RESPONSE_ALREADY_SENT) : response;
  };
  // HTTP/1.0 needs no Host, but a Request needs a URL.
  return getRequestListener(listener, { hostname: "localhost" });
}

/** RFC 9112 §3.2: exactly one, but HTTP/1.0 may do without. Node takes the first of several. */
function hasOneHost({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === "host") hosts++;
  }
  return hosts === 1 || (hosts === 0 && httpVersion === "1.0");
}

const TIMEOUTS = { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS };

interface DoorState {
  readonly underWay: Set<Outgoing>;
  isDraining: boolean;
  /** To be called when a connection may have become idle, once such ones are to be closed. */
  closeIdle: (() => void) | undefined;
}

/**
 * A request was read: those who follow its way hear of it now, and of its end.
 * @returns how many of its connection have no answer yet, this one with them
 */
function begin(exchange: Exchange, { onDone }: ServerOptions, state: DoorState): number {
  const { incoming, outgoing } = exchange;
  const side = incoming.socket instanceof HttpSide ? incoming.socket : undefined;
  side?.began(exchange);
  state.underWay.add(outgoing);
  if (state.isDraining) outgoing.shouldKeepAlive = false;
  outgoing.on("close", () => {
    state.underWay.delete(outgoing);
    side?.ended(exchange);
    onDone(exchange);
  });
  return side?.unanswered ?? 1;
}

function door(options: ServerOptions, route: Route, state: DoorState) {
  return (incoming: IncomingMessage, outgoing: Outgoing): void => {
    const exchange = { incoming, outgoing };
    if (begin(exchange, options, state) > MOST_UNANSWERED) {
      refusePipelined(exchange);
      return;
    }
    if (hasOneHost(incoming) && options.shortcuts?.take(exchange) === true) return;
    const target = readTarget(incoming.url ?? "/", options.prefix);
    if ("reason" in target) {
      refuse(exchange, target.status, target.reason);
      return;
    }
    if (!isHost(incoming.headers.host) || !hasOneHost(incoming)) {
      refuse(exchange, 400, "there must be one Host header, with a host in it");
      return;
    }
    if (!options.methods.includes(incoming.method ?? "")) {
      refuseMethod(exchange, options, target.path);
      return;
    }
    outgoing.isPathAsSent = target.isAsSent;
    incoming.url = target.query === "" ? target.path : `${target.path}?${target.query}`;
    void route(incoming, outgoing); // never rejects: app.onError has the last word
  };
}

function refuse(exchange: Exchange, status: number, reason: string): void {
  sendText(exchange, "refused", status, `${status} Bad Request: ${reason}\n`);
}

/** RFC 9112 §9.3.2: a client asks again for what a connection ended without. */
function refusePipelined(exchange: Exchange): void {
  exchange.outgoing.shouldKeepAlive = false;
  const text = `429 Too Many Requests: more than ${MOST_UNANSWERED} on one connection without waiting for answers\n`;
  sendText(exchange, "refused", 429, text);
}

/** Reading is all there is: uploads go to PyPI itself. */
function refuseMethod(exchange: Exchange, { methods, refusalOf }: ServerOptions, path: string): void {
  const fields = ["Allow", methods.join(", ")];
  sendText(exchange, "refused", 405, `405 Method Not Allowed: ${refusalOf(path)}\n`, fields);
}

/** What is no HTTP at all: there is no request to answer, only a connection to close with a word. */
function refuseGarbage(error: Error & { code?: string }, socket: Duplex): void {
  const [status, reason] = GARBAGE[error.code ?? ""] ?? ["400 Bad Request", "this is not HTTP/1.1"];
  if (error.code === "ECONNRESET") socket.destroy();
  else endWith(socket, status, reason);
}

function refuseTunnel(socket: Duplex, { methods }: ServerOptions): void {
  endWith(socket, "405 Method Not Allowed", "larder is no forward proxy", [`Allow: ${methods.join(", ")}`]);
}

/** Closes a connection with a word, where that cannot be taken for a part of another answer. */
function endWith(socket: Duplex, status: string, reason: string, more: readonly string[] = []): void {
  const isFree = socket instanceof HttpSide && socket.isBetweenAnswers;
  if (!socket.writable || !isFree) return void socket.destroy();
  const body = `${status}: ${reason}\n`;
  const fields = [
    "Content-Type: text/plain; charset=UTF-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Cache-Status: larder; detail=local",
    "Connection: close",
    ...more,
  ];
  socket.end(`HTTP/1.1 ${status}\r\n${fields.join("\r\n")}\r\n\r\n${body}`);
}

const GARBAGE: Readonly<Record<string, readonly [string, string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "more than 16 KiB of header"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "the request did not come in time"],
};
