import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import {
  asAnswer,
  DOCUMENT_BYTES,
  PAGES,
  type Prepared,
  preparedDocument,
  preparedFile,
  preparedPage,
  preparedRoot,
} from "./catalogue.ts";

/**
 * The origin, in a process of its own so that neither its work nor its memory is anybody else's: PyPI's surfaces from
 * bytes that are made once. `/-/count<path>` says how often a path was asked for, `/-/total` how many requests
 * came, `/-/files` where the files are.
 */

// Long enough that 200 clients are all waiting before the first byte comes.
const HERD_DELAY_MS = 300;
const PACED_PIECE_BYTES = 1_048_576;
const PACED_EVERY_MS = 20; // about 50 MB/s

let total = 0;
const counts = new Map<string, number>();
const documents = new Map<string, Prepared>();
const [small, large, larger, wheel] = await Promise.all([
  preparedFile("bench-1.0-py3-none-any.whl", 4_096),
  preparedFile("bench_large-1.0-py3-none-any.whl", 10_000_000),
  preparedFile("bench_larger-1.0-py3-none-any.whl", 30_000_000),
  preparedFile("bench_wheel-1.0-py3-none-any.whl", 80_000_000),
]);
const files = new Map([small, large, larger].map((file) => [file.path, asAnswer(file)]));
const paced = asAnswer(wheel);

const server = createServer((request, response) => void answer(request, response));
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => {
  const base = baseUrl();
  for (const [shape, bytes] of Object.entries(DOCUMENT_BYTES))
    documents.set(shape, preparedDocument(bytes, base));
  process.send?.({ url: base });
});

function baseUrl(): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? "").split("?", 1)[0] ?? "";
  if (path.startsWith("/-/")) {
    say(response, path.slice(2));
    return;
  }
  total++;
  counts.set(path, (counts.get(path) ?? 0) + 1);
  if (path.includes("-herd-")) await delay(HERD_DELAY_MS);
  if (path === wheel.path) {
    await sendPaced(response);
    return;
  }
  const found = find(path, request.headers.accept ?? "");
  if (found === undefined) {
    response.writeHead(404, { "content-type": "application/json", "content-length": 24 });
    response.end('{"message": "Not Found"}');
    return;
  }
  send(found, request, response);
}

function say(response: ServerResponse, what: string): void {
  const paths = { small: small.path, large: large.path, larger: larger.path, wheel: wheel.path };
  const told =
    what === "/total"
      ? total
      : what.startsWith("/count")
        ? (counts.get(what.slice("/count".length)) ?? 0)
        : paths;
  response.end(JSON.stringify(told));
}

const root = preparedRoot();
const pages = new Map<string, ReturnType<typeof preparedPage>>();

function find(path: string, accept: string): Prepared | undefined {
  const shape = /^\/pypi\/([^/-]+)(?:-[^/]*)?\/json$/.exec(path)?.[1];
  if (shape !== undefined) return documents.get(shape);
  const project = /^\/simple\/([^/]+)\/$/.exec(path)?.[1] ?? "";
  const fileCount = PAGES[project];
  if (fileCount !== undefined) {
    const page = pages.get(project) ?? preparedPage(baseUrl(), project, fileCount, small);
    pages.set(project, page);
    return accept.includes("+json") ? page.json : page.html;
  }
  if (path === "/simple/") return accept.includes("+json") ? root.json : root.html;
  return files.get(path);
}

function send(found: Prepared, { headers, method }: IncomingMessage, response: ServerResponse): void {
  const isGzip = found.gzip !== undefined && (headers["accept-encoding"] ?? "").includes("gzip");
  const body = isGzip ? found.gzip : found.identity;
  const etag = isGzip ? found.gzipEtag : found.identityEtag;
  if (headers["if-none-match"] === etag) {
    response.writeHead(304, { etag }).end();
    return;
  }
  response.writeHead(200, {
    "content-type": found.contentType,
    "content-length": body.length,
    ...(isGzip && { "content-encoding": "gzip" }),
    etag,
    ...found.fields,
  });
  response.end(method === "HEAD" ? undefined : body);
}

async function sendPaced(response: ServerResponse): Promise<void> {
  const { identity, fields, identityEtag: etag, contentType } = paced;
  const content = { "content-type": contentType, "content-length": identity.length };
  response.writeHead(200, { ...content, etag, ...fields });
  for (let at = 0; at < identity.length && !response.destroyed; at += PACED_PIECE_BYTES) {
    response.write(identity.subarray(at, at + PACED_PIECE_BYTES));
    await delay(PACED_EVERY_MS);
  }
  response.end();
}
