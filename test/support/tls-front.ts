import { once } from "node:events";
import { request as sendRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

/** What stands before larder where a registry's own name is led to it: it ends TLS, and says so as it sends on. */
export interface TlsFront {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts one on a free port of 127.0.0.1.
 *
 * @param tls certificate and key, PEM
 * @param to where requests go, with the Host that they came with: asked for each, so that it may move
 */
export async function startTlsFront(
  tls: { readonly key: string; readonly cert: string },
  to: () => string,
): Promise<TlsFront> {
  const forward = (request: IncomingMessage, response: ServerResponse) => {
    const { hostname, port } = new URL(to());
    const { method, url: path } = request;
    const headers = { ...request.headers, "x-forwarded-proto": "https" };
    const onward = sendRequest({ hostname, port, method, path, headers, agent: false }, (answer) => {
      response.sendDate = false;
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  };
  const server = createServer({ key: tls.key, cert: tls.cert }, forward);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
