import { once } from "node:events";
import { createServer, request as sendRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export interface ForwardProxyOptions {
  /** Asks for Basic credentials. */
  readonly credentials?: { readonly user: string; readonly password: string };
  /** Is itself reached by TLS, with these, PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Takes every CONNECT and answers none. */
  readonly hangOnConnect?: boolean;
  /** Leads every CONNECT to this port of 127.0.0.1, whatever host was asked for. */
  readonly tunnelTo?: number;
}

/** A forward proxy on 127.0.0.1: CONNECT tunnels, and requests in absolute form (RFC 9112 §3.2.2). */
export interface ForwardProxy {
  /** With its credentials, where it asks for them. */
  readonly url: string;
  /** What was asked of it, such as `CONNECT 127.0.0.1:443` or `GET http://127.0.0.1/path`, refused or not. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/** Starts a forward proxy on a free port. */
export async function startForwardProxy(options: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const requests: string[] = [];
  const sockets = new Set<Duplex>();
  const { credentials, tls } = options;
  const expected =
    credentials && `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString("base64")}`;

  const isRefused = (request: IncomingMessage) => {
    requests.push(`${request.method ?? ""} ${request.url ?? ""}`);
    return expected !== undefined && request.headers["proxy-authorization"] !== expected;
  };
  const track = (socket: Duplex) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy()); // either end may go at any time
  };
  const forward = (request: IncomingMessage, response: ServerResponse) => {
    if (isRefused(request)) {
      response.writeHead(407, { "proxy-authenticate": 'Basic realm="proxy"' }).end();
      return;
    }
    const headers = { ...request.headers };
    delete headers["proxy-authorization"];
    const onward = sendRequest(
      request.url ?? "",
      { method: request.method, headers, agent: false },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  };
  const tunnel = (request: IncomingMessage, client: Duplex, head: Buffer) => {
    if (isRefused(request)) {
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\n\r\n',
      );
      return;
    }
    if (options.hangOnConnect === true) return;
    const asked = new URL(`http://${request.url ?? ""}`);
    const { tunnelTo } = options;
    const [port, host] =
      tunnelTo === undefined ? [Number(asked.port || 80), asked.hostname] : [tunnelTo, "127.0.0.1"];
    const upstream = connect(port, host, () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(client);
      client.pipe(upstream);
    });
    track(upstream);
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  };

  const server = tls === undefined ? createServer(forward) : createTlsServer(tls, forward);
  server.on("connect", tunnel);
  server.on("connection", (socket: Socket) => track(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const userinfo =
    credentials === undefined
      ? ""
      : `${encodeURIComponent(credentials.user)}:${encodeURIComponent(credentials.password)}@`;
  return {
    // By name where TLS is spoken: undici sends the proxy's host as SNI, which must not be an address.
    url: tls === undefined ? `http://${userinfo}127.0.0.1:${port}` : `https://${userinfo}localhost:${port}`,
    requests,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
