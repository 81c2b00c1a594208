import { createHash } from "node:crypto";
import {
  answerWith,
  representation,
  textAnswer,
  type Answer,
  type Site,
  type SiteRequest,
} from "./answers.ts";

export interface FileOptions {
  /** What storage says; `application/octet-stream` where not given (facts/pypi.md §10.7). */
  readonly contentType?: string;
  readonly lastModified?: string;
  /** Answers a Range with 200 and the whole file. */
  readonly ignoresRange?: boolean;
}

/** files.pythonhosted.org, as its edge shows it (facts/pypi.md §3). */
export interface Files {
  readonly site: Site;
  /** Puts a file, or replaces it. `path` is decoded, such as `/packages/ab/cd/…/demo-1.0.tar.gz`. */
  readonly file: (path: string, bytes: Buffer, options?: FileOptions) => void;
  /** Takes a file away. */
  readonly removeFile: (path: string) => void;
}

interface Stored {
  readonly bytes: Buffer;
  readonly ignoresRange: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

// The only CORS of the files host, and that only on a GET.
const CORS = {
  "access-control-allow-headers": "Range",
  "access-control-allow-methods": "GET, OPTIONS",
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "Content-Length, Content-Range, Accept-Ranges",
};

const PREFLIGHT = {
  "access-control-allow-headers": "Range, Accept-Encoding",
  "access-control-allow-methods": "GET, HEAD, OPTIONS",
  "access-control-allow-origin": "*",
  "access-control-max-age": "86400",
};

/** Serves what it was given; everything else below `/packages/` is storage's 404. */
export function createFiles(): Files {
  const files = new Map<string, Stored>();
  return {
    site: (request) => {
      if (!request.path.startsWith("/packages/")) return undefined;
      if (request.method === "OPTIONS") return { status: 204, headers: PREFLIGHT, body: Buffer.alloc(0) };
      if (!["GET", "HEAD"].includes(request.method)) return methodNotAllowed();
      const stored = files.get(decoded(request.path));
      if (stored === undefined) return notFound();
      return request.path.endsWith(".metadata")
        ? metadataAnswer(stored, request)
        : fileAnswer(stored, request);
    },
    file: (path, bytes, options = {}) => {
      const { ignoresRange = false } = options;
      files.set(path, { bytes, ignoresRange, headers: headersOf(bytes, options) });
    },
    removeFile: (path) => {
      files.delete(path);
    },
  };
}

function headersOf(bytes: Buffer, options: FileOptions): Record<string, string> {
  return {
    "content-type": options.contentType ?? "application/octet-stream",
    "cache-control": "max-age=365000000, immutable, public",
    etag: `"${createHash("md5").update(bytes).digest("hex")}"`,
    "last-modified": options.lastModified ?? "Thu, 17 Aug 2023 17:29:12 GMT",
    "accept-ranges": "bytes",
    age: "5940",
    "x-cache": "HIT, HIT",
    "x-robots-header": "noindex",
  };
}

/** Never a 304: the edge takes If-None-Match and If-Modified-Since away. */
function fileAnswer(stored: Stored, { method, headers: asked }: SiteRequest): Answer {
  const { bytes, headers } = stored;
  const cors = method === "GET" ? CORS : {};
  const mayRange = method === "GET" && !stored.ignoresRange;
  const span = mayRange ? spanOf(asked.range, bytes.length) : undefined;
  if (span === "unsatisfiable") {
    const range = { "content-range": `bytes */${bytes.length}` };
    return textAnswer(416, "text/plain", "416", range);
  }
  const [from, to] = span ?? [0, bytes.length];
  const body = bytes.subarray(from, to);
  const range = span === undefined ? {} : { "content-range": `bytes ${from}-${to - 1}/${bytes.length}` };
  return {
    status: span === undefined ? 200 : 206,
    headers: { ...headers, ...cors, ...range, "content-length": String(body.length) },
    body,
  };
}

/** Two byte streams under one strong ETag, that of the identity bytes (facts/pypi.md §10.6). */
function metadataAnswer({ bytes, headers }: Stored, request: SiteRequest): Answer {
  const { "content-type": contentType = "", ...rest } = headers;
  const extra = { ...rest, ...(request.method === "GET" ? CORS : {}), vary: "Accept-Encoding" };
  const asked = { ...request.headers };
  delete asked["if-none-match"];
  return answerWith(representation(bytes, contentType, extra), { ...request, headers: asked });
}

/** @returns [first, after the last] of a single range; undefined for none, or for what is answered whole */
function spanOf(range: string | undefined, total: number): [number, number] | "unsatisfiable" | undefined {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === "" && last === "") return undefined;
  if (first === "") return [Math.max(0, total - Number(last)), total];
  if (Number(first) >= total) return "unsatisfiable";
  return [Number(first), last === "" ? total : Math.min(Number(last) + 1, total)];
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // no valid percent-encoding: nothing has such a name
  }
}

/** The archive's, behind the first storage's. */
function notFound(): Answer {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>`;
  return textAnswer(404, "application/xml", xml);
}

function methodNotAllowed(): Answer {
  return textAnswer(405, "text/plain", "405 Method Not Allowed", { allow: "GET, HEAD, OPTIONS" });
}
