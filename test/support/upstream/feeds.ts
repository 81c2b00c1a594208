import { answerWith, representation, textAnswer, type Site } from "./answers.ts";
import { pypiJson } from "./documents.ts";
import { EDGE } from "./edge.ts";

/** RSS and statistics, made of what is published (facts/pypi.md §7). */
export interface Feeds {
  readonly site: Site;
  /** Tells the feeds of a release, newest last. */
  readonly announce: (project: string, version: string) => void;
}

const FEED = /^\/rss\/(?:(updates)|(packages)|project\/([^/]+)\/releases)\.xml$/;

export function createFeeds(): Feeds {
  const releases: { readonly project: string; readonly version: string }[] = [];

  function titles(path: string): string[] | undefined {
    const [found, updates, packages, project] = FEED.exec(path) ?? [];
    if (found === undefined) return undefined;
    const newest = releases.toReversed();
    if (updates !== undefined) return newest.slice(0, 100).map((one) => `${one.project} ${one.version}`);
    if (packages !== undefined) return [...new Set(newest.map((one) => `${one.project} added to PyPI`))];
    return newest.filter((one) => one.project === project).map((one) => one.version);
  }

  return {
    site: (request) => {
      const { path, headers } = request;
      const found = titles(path);
      if (found !== undefined) {
        return answerWith(representation(rss(found), "text/xml; charset=UTF-8", EDGE), request);
      }
      if (path === "/stats") return textAnswer(301, "text/plain", "301", { location: "/stats/" });
      if (path !== "/stats/") return undefined;
      const isJson = headers.accept?.includes("application/json") === true;
      const projects = Object.fromEntries(releases.map(({ project }) => [project, { size: 1 }]));
      const body = isJson
        ? pypiJson({ top_packages: projects, total_packages_size: 1 })
        : Buffer.from("<!DOCTYPE html><title>Statistics</title>");
      const type = isJson ? "application/json" : "text/html; charset=UTF-8";
      const fields = { ...EDGE, "cache-control": "max-age=86400, public", vary: "Accept, Accept-Encoding" };
      return answerWith(representation(body, type, fields), request);
    },
    announce: (project, version) => {
      releases.push({ project, version });
    },
  };
}

function rss(titles: readonly string[]): Buffer {
  const items = titles.map((title) => `<item><title>${title}</title></item>`);
  const channel = `<channel><title>PyPI</title>${items.join("")}</channel>`;
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0">${channel}</rss>`);
}
