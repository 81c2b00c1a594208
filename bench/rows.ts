import type { Origin } from "./origin.ts";

/** A request that all servers have the answer to. */
export interface Row {
  readonly name: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** 304: the server's own ETag is put into If-None-Match. */
  readonly status: 200 | 206 | 304 | 404;
  /** What a right body is no shorter than, decoded. */
  readonly bytes: number;
  readonly coding?: "gzip" | "identity";
  /** Whether it has file URLs that a rewriting server must have pointed elsewhere. */
  readonly hasUrls?: boolean;
}

const GZIP = { "Accept-Encoding": "gzip" };
const SIMPLE_JSON = { Accept: "application/vnd.pypi.simple.v1+json" };
const SIMPLE_HTML = { Accept: "text/html" };

/** The cached answers that are measured, in the order of the table. */
export function hitRows(files: Origin["files"]): readonly Row[] {
  const file = { headers: {}, status: 200 } as const;
  return [
    ...documentRows(),
    { name: "304", path: "/pypi/3k/json", headers: GZIP, status: 304, bytes: 0 },
    { ...page("simple JSON gzip"), headers: { ...SIMPLE_JSON, ...GZIP }, coding: "gzip" },
    { ...page("simple JSON identity"), headers: SIMPLE_JSON, coding: "identity" },
    { ...page("simple HTML gzip"), headers: { ...SIMPLE_HTML, ...GZIP }, coding: "gzip" },
    { ...largePage("simple JSON gzip, 800 files"), headers: { ...SIMPLE_JSON, ...GZIP }, coding: "gzip" },
    { ...largePage("simple HTML gzip, 800 files"), headers: { ...SIMPLE_HTML, ...GZIP }, coding: "gzip" },
    { name: "404 (negative hit)", path: "/pypi/nothing/json", headers: GZIP, status: 404, bytes: 0 },
    { ...file, name: "file 4 kB", path: files.small, bytes: 4_096 },
    { ...file, name: "file 10 MB", path: files.large, bytes: 10_000_000 },
    // More than larder keeps in memory of a file: from its disk, each time.
    { ...file, name: "file 30 MB", path: files.larger, bytes: 30_000_000 },
    {
      name: "Range 64 kB",
      path: files.large,
      headers: { Range: "bytes=1000000-1065535" },
      status: 206,
      bytes: 65_536,
    },
  ];
}

function documentRows(): Row[] {
  const sizes = [
    ["3k", "3 kB", 2_900],
    ["30k", "30 kB", 29_000],
    ["1m", "1 MB", 990_000],
  ] as const;
  return sizes.flatMap(([shape, size, bytes]) => {
    const document = { path: `/pypi/${shape}/json`, status: 200, bytes, hasUrls: true } as const;
    return [
      { ...document, name: `JSON ${size} gzip`, headers: GZIP, coding: "gzip" },
      { ...document, name: `JSON ${size} identity`, headers: {}, coding: "identity" },
    ];
  });
}

function page(name: string) {
  return { name, path: "/simple/bench/", status: 200, bytes: 2_000, hasUrls: true } as const;
}

function largePage(name: string) {
  return { ...page(name), path: "/simple/many/", bytes: 100_000 } as const;
}
