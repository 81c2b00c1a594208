import { createCipheriv, createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { createBlake2b256 } from "../src/blobs/blake2b.ts";
import { etagOf } from "../test/support/upstream/answers.ts";
import { projectDocument } from "../test/support/upstream/documents.ts";
import {
  API_VERSION,
  pageHtml,
  pageJson,
  rootHtml,
  rootJson,
  type SimpleFile,
} from "../test/support/upstream/simple-documents.ts";

/** What the origin has under one path: bytes that are made once. */
export interface Prepared {
  readonly contentType: string;
  readonly identity: Buffer;
  readonly gzip: Buffer | undefined;
  readonly identityEtag: string;
  readonly gzipEtag: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** A file at the path that its BLAKE2b hash gives it. */
export interface PreparedFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly sha256: string;
}

/** The sizes of project documents, without coding. The name of a project begins with one: `3k`, `3k-cold-7`. */
export const DOCUMENT_BYTES: Readonly<Record<string, number>> = {
  "3k": 3_000,
  "30k": 30_000,
  "1m": 1_000_000,
  "5m": 5_000_000,
  "30m": 30_000_000,
};

/** Projects that have a Simple page, and how many files are on it. */
export const PAGES: Readonly<Record<string, number>> = { bench: 24, many: 800 };

const GZIP = { level: 6 };

/** A project document of just this size, as PyPI writes it; its file URLs begin with `base`. */
export function preparedDocument(bytes: number, base: string): Prepared {
  const description = "Lorem ipsum dolor sit amet, consectetur adipisici elit. ";
  const make = (count: number, padding: number): Buffer =>
    Buffer.from(
      projectDocument({
        name: "bench",
        serial: 7,
        // The last has one file: its entries come twice, and the smallest document shall be no larger than PyPI's.
        releases: Array.from({ length: count }, (_, i) => ({
          version: `1.${i}`,
          ...(i === count - 1 && { files: ["bench-1.0-py3-none-any.whl"] }),
        })),
        description: description.repeat(Math.ceil(padding / description.length)).slice(0, padding),
      })
        .toString()
        .replaceAll("https://files.pythonhosted.org", base),
    );
  const small = make(1, 0).length;
  const perRelease = (make(21, 0).length - make(11, 0).length) / 10;
  const count = Math.max(1, Math.floor((bytes - small) / perRelease));
  const short = make(count, 0).length;
  return prepared(make(count, Math.max(0, bytes - short)), "application/json", {
    "cache-control": "max-age=900, public",
    "access-control-allow-origin": "*",
  });
}

/** A project's page in both forms; of its files the first is there, where the project is `bench`. */
export function preparedPage(
  base: string,
  project: string,
  fileCount: number,
  small: PreparedFile,
): { json: Prepared; html: Prepared } {
  const first = project === "bench" ? small : undefined;
  const files = Array.from({ length: fileCount }, (_, i): SimpleFile => {
    const held = i === 0 ? first : undefined;
    const hash = createHash("sha256").update(`file ${i}`).digest("hex");
    const path = `/packages/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash.slice(4)}/${project}-1.${i}.tar.gz`;
    return {
      "core-metadata": false,
      "data-dist-info-metadata": false,
      filename: held === undefined ? `${project}-1.${i}.tar.gz` : filenameOf(held.path),
      hashes: { sha256: held?.sha256 ?? hash },
      provenance: null,
      "requires-python": ">=3.9",
      size: held?.bytes.length ?? 4_096,
      "upload-time": "2026-01-02T03:04:05.678901Z",
      url: `${base}${held?.path ?? path}`,
      yanked: false,
    };
  });
  const page = {
    files,
    meta: { "_last-serial": 7, "api-version": API_VERSION },
    name: project,
    "project-status": { status: "active" },
    versions: files.map((_, i) => `1.${i}`),
  };
  const fields = { "cache-control": "max-age=600, public", vary: "Accept, Accept-Encoding" };
  return {
    json: prepared(pageJson(page), "application/vnd.pypi.simple.v1+json", fields),
    html: prepared(pageHtml(page), "text/html; charset=utf-8", fields),
  };
}

/** The list of projects, which proxpi and devpi look at before they ask for a page. */
export function preparedRoot(): { json: Prepared; html: Prepared } {
  const projects = Object.keys(PAGES).map((name) => ({ name, serial: 7 }));
  return {
    json: prepared(rootJson(projects), "application/vnd.pypi.simple.v1+json", {}),
    html: prepared(rootHtml(projects), "text/html; charset=utf-8", {}),
  };
}

/** The last part of a path. */
export function filenameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Bytes that no compression makes smaller, the same every time. */
export async function preparedFile(filename: string, bytes: number): Promise<PreparedFile> {
  const key = createHash("sha256").update(filename).digest();
  const content = createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
  const hasher = await createBlake2b256();
  for (let at = 0; at < bytes; at += 1_048_576) hasher.update(content.subarray(at, at + 1_048_576));
  const hash = hasher.digest();
  return {
    path: `/packages/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash.slice(4)}/${filename}`,
    bytes: content,
    sha256: createHash("sha256").update(content).digest("hex"),
  };
}

/** What the files host says beside the bytes. */
export function asAnswer(file: PreparedFile): Prepared {
  const fields = { "cache-control": "max-age=365000000, immutable, public", "accept-ranges": "bytes" };
  const etag = `"${createHash("md5").update(file.bytes).digest("hex")}"`;
  return {
    contentType: "application/octet-stream",
    identity: file.bytes,
    gzip: undefined,
    identityEtag: etag,
    gzipEtag: etag,
    fields: { ...fields, "last-modified": "Thu, 17 Aug 2023 17:29:12 GMT" },
  };
}

function prepared(identity: Buffer, contentType: string, fields: Readonly<Record<string, string>>): Prepared {
  const gzip = gzipSync(identity, GZIP);
  const serial = { "x-pypi-last-serial": "7" };
  return {
    contentType,
    identity,
    gzip,
    identityEtag: etagOf(identity),
    gzipEtag: etagOf(gzip),
    fields: { vary: "Accept-Encoding", ...fields, ...serial },
  };
}
