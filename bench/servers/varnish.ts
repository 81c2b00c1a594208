import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { findCommand, launch, missingCommand, type ServerKind } from "./launch.ts";

/** Varnish with its memory store: bytes as upstream sent them, gzip alone kept. It writes no log to a file. */
export const varnish: ServerKind = {
  name: "varnish",
  missing: () => missingCommand("varnishd"),
  rewrites: false,
  start: async ({ origin, directory }) => {
    const port = await freePort();
    const file = join(directory, "default.vcl");
    writeFileSync(file, vcl(new URL(origin)));
    const args = ["-F", "-j", "none", "-n", `${directory}/n`, "-a", `127.0.0.1:${port}`];
    const command = [findCommand("varnishd") ?? "varnishd", ...args, "-f", file, "-s", "malloc,1g"];
    return await launch({ name: "varnish", command, port, directory });
  },
};

function vcl({ hostname, port }: URL): string {
  return `vcl 4.1;
backend default { .host = "${hostname}"; .port = "${port}"; }
sub vcl_recv {
  unset req.http.Cookie;
  if (req.url !~ "^/simple/") { unset req.http.Accept; }
}
sub vcl_backend_response { set beresp.ttl = 24h; set beresp.grace = 1h; }
`;
}
