import type { HitRow } from "./hits.ts";
import type { Results } from "./results.ts";

const WIDTH = 900;
const LEFT = 190;
const RIGHT = 36;
const TOP = 64;
const LINE = 26;
const BOTTOM = 46;

/** Told apart without colour as well: each server has its own mark. */
const MARKS: Readonly<Record<string, { readonly colour: string; readonly shape: Shape }>> = {
  larder: { colour: "#d62728", shape: "disc" },
  "node:http": { colour: "#7f7f7f", shape: "bar" },
  "nginx plain": { colour: "#2ca02c", shape: "square" },
  "nginx double": { colour: "#17a2b8", shape: "diamond" },
  "nginx tuned": { colour: "#1f5fbf", shape: "triangle" },
  varnish: { colour: "#9467bd", shape: "ring" },
  proxpi: { colour: "#8c564b", shape: "cross" },
  "nginx+larder": { colour: "#000000", shape: "down" },
  devpi: { colour: "#e6860e", shape: "plus" },
};

type Shape = "disc" | "bar" | "square" | "diamond" | "triangle" | "ring" | "cross" | "plus" | "down";

/** CPU per request of every server, one line a row, on a logarithmic scale: an SVG that stands by itself. */
export function plot({ hits, commit, machine, at }: Results): string {
  const servers = Object.keys(MARKS).filter((server) =>
    hits.some((row) => medianOf(row, server) !== undefined),
  );
  const medians = hits.flatMap((row) => servers.map((server) => medianOf(row, server) ?? NaN));
  const known = medians.filter((value) => value > 0);
  const decades = {
    from: Math.floor(Math.log10(Math.min(...known))),
    to: Math.ceil(Math.log10(Math.max(...known))),
  };
  const height = TOP + hits.length * LINE + BOTTOM;
  const xOf = (micros: number): number =>
    LEFT + ((Math.log10(micros) - decades.from) / (decades.to - decades.from)) * (WIDTH - LEFT - RIGHT);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(
      12,
      20,
      "CPU of the server per request, µs, cached answers (less is better)",
      `font-weight="600" font-size="14"`,
    ),
    ...legend(servers),
    ...grid(decades, xOf, height),
    ...hits.flatMap((row, i) => line(row, i, servers, xOf)),
    text(
      12,
      height - 8,
      `larder ${commit}, ${at.slice(0, 10)}, ${machine.cpu}; medians`,
      `fill="#666" font-size="10"`,
    ),
    "</svg>",
    "",
  ].join("\n");
}

function medianOf(row: HitRow, server: string): number | undefined {
  const figures = row.servers[server];
  return figures === undefined || "skipped" in figures ? undefined : figures.cpuMicros.median;
}

function legend(servers: readonly string[]): string[] {
  let x = 18;
  return servers.flatMap((server) => {
    const entry = [mark(server, x, 40), text(x + 10, 44, server)];
    x += 34 + 6.6 * server.length; // about as wide as letters of 12 px are
    return entry;
  });
}

function grid(
  { from, to }: { readonly from: number; readonly to: number },
  xOf: (micros: number) => number,
  height: number,
): string[] {
  const bottom = height - BOTTOM;
  return Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)).flatMap((micros) => [
    `<line x1="${xOf(micros)}" y1="${TOP - 8}" x2="${xOf(micros)}" y2="${bottom}" stroke="#ddd"/>`,
    text(xOf(micros), bottom + 16, micros.toLocaleString("en"), `text-anchor="middle" fill="#666"`),
  ]);
}

function line(row: HitRow, i: number, servers: readonly string[], xOf: (micros: number) => number): string[] {
  const y = TOP + i * LINE + LINE / 2;
  const marks = servers.flatMap((server) => {
    const median = medianOf(row, server);
    return median === undefined || median <= 0 ? [] : [mark(server, xOf(median), y)];
  });
  return [
    `<line x1="${LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}" stroke="#f0f0f0"/>`,
    text(LEFT - 10, y + 4, row.row, `text-anchor="end"`),
    ...marks.reverse(), // larder on top
  ];
}

function mark(server: string, x: number, y: number): string {
  const { colour, shape } = MARKS[server] ?? { colour: "#000", shape: "plus" };
  const title = `<title>${server}</title>`;
  const path = (d: string, fill: string): string =>
    `<path d="${d}" fill="${fill}" stroke="${colour}" stroke-width="2">${title}</path>`;
  switch (shape) {
    case "disc":
      return `<circle cx="${x}" cy="${y}" r="6" fill="${colour}">${title}</circle>`;
    case "ring":
      return `<circle cx="${x}" cy="${y}" r="4.5" fill="none" stroke="${colour}" stroke-width="2">${title}</circle>`;
    case "bar":
      return path(`M${x} ${y - 8}V${y + 8}`, "none");
    case "square":
      return path(`M${x - 4} ${y - 4}h8v8h-8z`, colour);
    case "diamond":
      return path(`M${x} ${y - 5}l5 5l-5 5l-5 -5z`, colour);
    case "triangle":
      return path(`M${x} ${y - 5}l5 9h-10z`, colour);
    case "down":
      return path(`M${x} ${y + 5}l5 -9h-10z`, "none");
    case "cross":
      return path(`M${x - 4} ${y - 4}l8 8M${x + 4} ${y - 4}l-8 8`, "none");
    case "plus":
      return path(`M${x - 5} ${y}h10M${x} ${y - 5}v10`, "none");
  }
}

function text(x: number, y: number, words: string, attributes = ""): string {
  return `<text x="${x}" y="${y}" ${attributes}>${words.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</text>`;
}
