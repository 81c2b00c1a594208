import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";
import { gunzipSync, zstdDecompressSync } from "node:zlib";

/** An answer as it came: undecoded, complete. */
export interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body without its content coding. */
  readonly decoded: Buffer;
  /** `Cache-Status` of larder. */
  readonly cacheStatus: string;
}

export interface Sent {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

const agent = new Agent({ keepAlive: true });

/** A plain HTTP client that adds nothing and decodes nothing. The path goes out as it is given. */
export function fetchRaw(base: string, path: string, sent: Sent = {}): Promise<Received> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const { method = "GET", signal } = sent;
    const length = sent.body === undefined ? {} : { "content-length": Buffer.byteLength(sent.body) };
    const headers = { ...length, ...sent.headers };
    const outgoing = request(
      { agent, hostname, port, path, method, headers, ...(signal && { signal }) },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          if (!incoming.complete) reject(new Error("the answer was cut short"));
          else resolve(received(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks)));
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(sent.body);
  });
}

function received(status: number, headers: IncomingHttpHeaders, body: Buffer): Received {
  return {
    status,
    headers,
    body,
    get decoded() {
      return decode(body, headers["content-encoding"]);
    },
    cacheStatus: String(headers["cache-status"] ?? ""),
  };
}

function decode(body: Buffer, coding: string | undefined): Buffer {
  if (coding === undefined || body.length === 0) return body;
  if (coding === "gzip") return gunzipSync(body);
  if (coding === "zstd") return zstdDecompressSync(body);
  throw new Error(`unexpected coding ${coding}`);
}
