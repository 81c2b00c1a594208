import type { Hono } from "hono";
import { type Bindings, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { sendText } from "./send.ts";

export interface NotServedOptions {
  /** pypi.org itself, without a slash at the end. */
  readonly upstreamUrl: string;
}

// Pages for people: with sessions, languages and a challenge for robots, so never cached (facts/pypi.md §7).
const PAGES_FOR_PEOPLE = [
  "project",
  "p",
  "search",
  "user",
  "org",
  "help",
  "classifiers",
  "sponsors",
  "security",
  "trending",
];

// Where credentials and tokens go: never through a cache.
const ACCOUNTS = ["account", "manage", "admin", "oidc", "billing", "_", "_includes", "danger-api"];

/** What pypi.org has and larder does not: where it is to be found, or why it is refused. */
export function notServedRoutes(app: Hono<{ Bindings: Bindings }>, { upstreamUrl }: NotServedOptions): void {
  for (const page of PAGES_FOR_PEOPLE) {
    app.on(SAFE_METHODS, `/${page}/*`, (context) => {
      const exchange = exchangeOf(context);
      const location = `${upstreamUrl}${exchange.incoming.url ?? "/"}`;
      return sendText(exchange, "page", 302, `302 Found: pages for people are at ${location}\n`, [
        "Location",
        location,
      ]);
    });
  }
  for (const place of ACCOUNTS) {
    app.on(SAFE_METHODS, `/${place}/*`, (context) =>
      sendText(exchangeOf(context), "refused", 403, `403 Forbidden: accounts are at ${upstreamUrl} alone\n`),
    );
  }
}

/**
 * Why a method other than reading is refused, in words for the person whose tool tried.
 * @param path as cleaned by the door
 */
export function refusalOf(path: string, upstreamUrl: string): string {
  if (/^\/(?:legacy|pypi\/legacy)(?:\/|$)/.test(path)) {
    return "larder serves reads only: upload to PyPI itself (https://upload.pypi.org/legacy/)";
  }
  if (/^\/(?:pypi|RPC2)\/?$/.test(path)) {
    return `larder does not pass on XML-RPC, whose limit all its users would share: read /simple/ instead, or ask ${upstreamUrl}`;
  }
  return "larder serves reads only";
}
