import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { findCommand, launch, missingCommand, type Scene, type Server, type ServerKind } from "./launch.ts";

type Way = "plain" | "tuned" | "double";

/** Bytes as upstream sent them, one cache entry for each coding and form. */
export const nginxPlain = kind("plain");
/** The best that one layer can do: locks, revalidation, rewriting and compressing each answer anew. */
export const nginxTuned = kind("tuned");
/** An inner layer rewrites and compresses, an outer one caches the result. */
export const nginxDouble = kind("double");

function kind(way: Way): ServerKind {
  const name = `nginx ${way}`;
  return {
    name,
    missing: () => missingCommand("nginx"),
    rewrites: way !== "plain",
    start: (scene) => start(name, way, scene),
  };
}

async function start(name: string, way: Way, { origin, directory }: Scene): Promise<Server> {
  const [port, innerPort] = [await freePort(), await freePort()];
  mkdirSync(join(directory, "logs"), { recursive: true });
  const file = join(directory, "nginx.conf");
  writeFileSync(file, configuration(way, { origin: new URL(origin).host, port, innerPort, directory }));
  const command = [findCommand("nginx") ?? "nginx", "-p", directory, "-e", "stderr", "-c", file];
  return await launch({ name, command, port, directory });
}

interface Places {
  readonly origin: string;
  readonly port: number;
  readonly innerPort: number;
  readonly directory: string;
}

const TYPES = "application/json application/vnd.pypi.simple.v1+json application/vnd.pypi.simple.v1+html";

const LOCKS = `
    proxy_cache_lock on; proxy_cache_lock_timeout 120s; proxy_cache_lock_age 120s;
    proxy_cache_revalidate on; proxy_cache_background_update on;
    proxy_cache_use_stale error timeout updating http_429 http_500 http_502 http_503 http_504;`;

function configuration(way: Way, places: Places): string {
  const isRoot = process.getuid?.() === 0;
  const { origin, port, innerPort, directory } = places;
  const rewriting = `
    proxy_set_header Accept-Encoding "";
    sub_filter 'http://${origin}/packages/' 'http://$http_host/packages/';
    sub_filter_once off; sub_filter_types ${TYPES};
    gzip on; gzip_proxied any; gzip_types ${TYPES};`;
  const locations = {
    plain: `location / { proxy_set_header Accept-Encoding $coding; proxy_pass http://origin; }`,
    tuned: `${LOCKS}
    location / { ${rewriting} proxy_cache_key "$uri $form"; proxy_pass http://origin; }`,
    double: `${LOCKS}
    location /packages/ { proxy_pass http://origin; }
    location / {
      proxy_set_header Host $http_host; proxy_set_header Accept-Encoding $coding;
      proxy_cache_key "$http_host $uri $form $coding"; proxy_pass http://inner;
    }`,
  };
  const inner = `
  upstream inner { server 127.0.0.1:${innerPort}; keepalive 32; }
  server { listen 127.0.0.1:${innerPort}; access_log off; location / { ${rewriting} proxy_pass http://origin; } }`;
  return `${isRoot ? "user root;" : ""}
daemon off; worker_processes 1; pid ${directory}/pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log /dev/null combined;
  # No tcp_nopush: over loopback it holds the last packet of a Range back for 20 ms.
  sendfile on; keepalive_requests 100000000;
  client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/temp;
  fastcgi_temp_path ${directory}/f; uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
  proxy_cache_path ${directory}/cache levels=1:2 keys_zone=cache:50m max_size=4g inactive=30d use_temp_path=off;
  proxy_http_version 1.1; proxy_set_header Connection "";
  map $http_accept_encoding $coding { default ""; ~*gzip gzip; }
  map $http_accept $form { default html; ~*json json; }
  upstream origin { server ${origin}; keepalive 32; }
  ${way === "double" ? inner : ""}
  server {
    listen 127.0.0.1:${port} backlog=1024;
    proxy_cache cache; proxy_cache_key "$uri $form $coding";
    proxy_ignore_headers Vary Cache-Control Expires;
    proxy_cache_valid 200 24h; proxy_cache_valid 404 24h;
    ${locations[way]}
  }
}
`;
}
