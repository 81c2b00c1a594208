import { createServer, type IncomingMessage } from "node:http";
import { fetchRaw } from "../../test/support/client.ts";

/**
 * The limit of the runtime: Node's server that writes ready bytes. It asks larder once for what is new to it, so that
 * it sends what larder sends, field by field; from then on it does nothing but look it up and write it.
 */
const upstream = process.env["BENCH_UPSTREAM"] ?? "";

interface Ready {
  readonly status: number;
  readonly fields: string[];
  readonly body: Buffer;
}

const ready = new Map<string, Ready>();

async function prime(key: string, request: IncomingMessage): Promise<Ready> {
  const headers = { ...request.headers };
  delete headers.connection;
  const answer = await fetchRaw(upstream, request.url ?? "/", { headers });
  const fields: string[] = [];
  for (const [name, value] of Object.entries(answer.headers)) {
    if (name !== "connection" && name !== "keep-alive" && value !== undefined)
      fields.push(name, String(value));
  }
  const made = { status: answer.status, fields, body: answer.body };
  ready.set(key, made);
  return made;
}

const server = createServer((request, response) => {
  const { headers } = request;
  const key = [
    request.url,
    headers["accept-encoding"],
    headers.accept,
    headers.range,
    headers["if-none-match"],
  ].join(" ");
  const send = ({ status, fields, body }: Ready): void => {
    response.sendDate = false;
    response.writeHead(status, fields);
    response.end(body);
  };
  const held = ready.get(key);
  if (held !== undefined) send(held);
  else void prime(key, request).then(send);
});
server.keepAliveTimeout = 75_000;
server.listen(Number(process.env["PORT"]), "127.0.0.1");
