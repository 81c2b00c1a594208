import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRedis } from "../../test/support/redis.ts";
import { startLarder } from "./larder.ts";
import { freePort } from "../../test/support/free-port.ts";
import { findCommand, launch, missingCommand, type Scene, type Server, type ServerKind } from "./launch.ts";

const NO_MEMORY = { LARDER_MEMORY: "0" };

/** Each hit is read from the embedded store. */
export const larderFromSqlite: ServerKind = {
  name: "from SQLite",
  rewrites: true,
  missing: () => undefined,
  start: (scene) => startLarder(scene, { name: "from SQLite", env: NO_MEMORY }),
};

/** Each hit is read from Redis. */
export const larderFromRedis: ServerKind = overRedis("from Redis", NO_MEMORY);

/** Larder as it comes, with Redis in place of the embedded store. */
export const larderOverRedis: ServerKind = overRedis("larder, Redis", {});

export const MOVES_NOTHING = "larder, URLs left";

/** A larder that leaves file URLs as they are: a document goes out as it came. */
export function startLarderThatMovesNothing(scene: Pick<Scene, "origin" | "directory">): Promise<Server> {
  return startLarder(scene, { name: MOVES_NOTHING, env: { LARDER_FILES: "upstream" } });
}

/** A larder with a `redis-server` of its own, which runs where the load does: elsewhere it is another machine. */
function overRedis(name: string, env: Readonly<Record<string, string>>): ServerKind {
  return {
    name,
    rewrites: true,
    missing: () => missingCommand("redis-server"),
    start: async (scene) => {
      const redis = await startRedis(findCommand("redis-server") ?? "redis-server");
      const url = `redis://127.0.0.1:${redis.port}`;
      try {
        const server = await startLarder(scene, { name, env: { REDIS_URL: url, ...env } });
        return {
          ...server,
          stop: async () => {
            await server.stop();
            await redis.stop();
          },
        };
      } catch (error) {
        await redis.stop();
        throw error;
      }
    },
  };
}

/** nginx in front of a larder that hands files over to it; CPU of both counts. Set up as larder's README says. */
export const larderBehindNginx: ServerKind = {
  name: "nginx+larder",
  rewrites: true,
  missing: () => missingCommand("nginx"),
  start: async (scene) => {
    const { directory } = scene;
    const env = { LARDER_ACCEL: "x-accel-redirect", LARDER_TRUST_PROXY: "loopback" };
    const larder = await startLarder(scene, { env });
    const port = await freePort();
    const file = join(directory, "nginx.conf");
    mkdirSync(join(directory, "logs"), { recursive: true });
    writeFileSync(file, configuration(directory, port, new URL(larder.url).host));
    try {
      const command = [findCommand("nginx") ?? "nginx", "-p", directory, "-e", "stderr", "-c", file];
      const front = await launch({
        name: "nginx+larder",
        command,
        port,
        directory,
        pathOf: (path) => (path.startsWith("/packages/") ? path : undefined),
      });
      return {
        ...front,
        pids: [...front.pids, ...larder.pids],
        stop: async () => {
          await front.stop();
          await larder.stop();
        },
      };
    } catch (error) {
      await larder.stop();
      throw error;
    }
  },
};

function configuration(directory: string, port: number, larder: string): string {
  return `${process.getuid?.() === 0 ? "user root;" : ""}
daemon off; worker_processes 1; pid ${directory}/pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log /dev/null combined;
  sendfile on; keepalive_requests 100000000;
  client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/temp;
  fastcgi_temp_path ${directory}/f; uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
  upstream larder { server ${larder}; keepalive 32; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      proxy_pass http://larder;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
    }
    location /larder-files/ {
      internal;
      alias ${directory}/data/files/;
      etag off;
      if_modified_since off;
      add_header ETag $upstream_http_etag;
      add_header Last-Modified $upstream_http_last_modified;
      add_header Age $upstream_http_age;
      add_header Cache-Status $upstream_http_cache_status;
      add_header Access-Control-Allow-Origin $upstream_http_access_control_allow_origin;
    }
  }
}
`;
}
