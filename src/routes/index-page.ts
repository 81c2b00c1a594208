import type { Hono } from "hono";
import { LOCAL } from "../cache/cache-status.ts";
import { type Bindings, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { type PublicBaseOptions, publicBase } from "./public-base.ts";
import { send } from "./send.ts";
import { snippets } from "./snippets.ts";

export interface IndexPageOptions {
  readonly publicBase: PublicBaseOptions;
  readonly version: string;
  readonly upstreamUrl: string;
}

/** `/`: what this is and how to use it, as HTML for a browser and as text for the rest. */
export function indexPage(app: Hono<{ Bindings: Bindings }>, options: IndexPageOptions): void {
  app.on(SAFE_METHODS, "/", (context) => {
    const exchange = exchangeOf(context);
    const base = publicBase(exchange.incoming, options.publicBase);
    const html = (exchange.incoming.headers.accept ?? "").includes("text/html");
    return send(exchange, "index", {
      status: 200,
      fields: [
        "Content-Type",
        `text/${html ? "html" : "plain"}; charset=UTF-8`,
        "Vary",
        "Accept",
        "Cache-Control",
        "no-store",
      ],
      body: Buffer.from(html ? asHtml(base, options) : asText(base, options)),
      cacheStatus: LOCAL,
    });
  });
}

/** What there is to ask for, with an example each. */
const EXAMPLES: readonly (readonly [path: string, what: string])[] = [
  ["/simple/", "the index: what installers are pointed at"],
  ["/simple/sampleproject/", "a project's page, in HTML or JSON (PEP 503, 691)"],
  ["/pypi/sampleproject/json", "a project, as PyPI's JSON API gives it"],
  ["/pypi/sampleproject/4.0.0/json", "one of its releases"],
  ["/healthz", "is larder alive"],
  ["/readyz", "what its store and its upstream are doing"],
  ["/metrics", "Prometheus metrics"],
];

function asText(base: string, { version, upstreamUrl }: IndexPageOptions): string {
  const width = Math.max(...EXAMPLES.map(([path]) => `${base}${path}`.length));
  const lines = EXAMPLES.map(([path, what]) => `  ${`${base}${path}`.padEnd(width)}  ${what}`);
  const settings = snippets(base).map(({ client, text }) => `${client}\n${text.replace(/^/gm, "  ")}`);
  return [
    `larder ${version}: a caching read-through proxy in front of ${upstreamUrl}`,
    lines.join("\n"),
    "Point your tools at it:",
    `${settings.join("\n\n")}\n`,
  ].join("\n\n");
}

function asHtml(base: string, { version, upstreamUrl }: IndexPageOptions): string {
  const rows = EXAMPLES.map(([path, what]) => {
    const url = escapeHtml(`${base}${path}`);
    return `<tr><td><a href="${url}"><code>${url}</code></a></td><td>${escapeHtml(what)}</td></tr>`;
  });
  const settings = snippets(base).map(
    ({ client, text }) => `<h3>${escapeHtml(client)}</h3>\n<pre>${escapeHtml(text)}</pre>`,
  );
  const upstream = escapeHtml(upstreamUrl);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>larder</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 3rem auto; padding: 0 1rem; color-scheme: light dark; }
td { padding: 0.2rem 1rem 0.2rem 0; vertical-align: top; }
h3 { margin-bottom: 0.2rem; }
pre { margin-top: 0; padding: 0.6rem 0.8rem; overflow-x: auto; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: 6px; }
</style>
</head>
<body>
<h1>larder</h1>
<p>A caching read-through proxy in front of <a href="${upstream}">${upstream}</a>. Version ${escapeHtml(version)}.</p>
<table>
${rows.join("\n")}
</table>
<h2>Point your tools at it</h2>
${settings.join("\n")}
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
