import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestPki } from "./tls.ts";
import { freePort } from "./free-port.ts";

/** A `redis-server` of the test's own, on a free port of 127.0.0.1. */
export interface RunningRedis {
  readonly port: number;
  /** Runs a command and gives its reply, as text. Plain TCP only. */
  command(...args: readonly string[]): Promise<string>;
  /** Stops answering, keeping connections and port (SIGSTOP), until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends it at once (SIGKILL), and resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port, empty. */
  start(): Promise<void>;
  /** Ends it for good and removes its files. */
  stop(): Promise<void>;
}

/** How one is started. `args` go on its command line: `["--maxmemory", "4mb"]`. */
export interface RedisStart {
  readonly args?: readonly string[];
  /** Listens with TLS only. */
  readonly tls?: TestPki;
  /** Asks for this password. */
  readonly password?: string;
}

/** Starts one standalone Redis and resolves once it answers. */
export async function startRedis(
  redisServer: string,
  { args = [], tls, password }: RedisStart = {},
): Promise<RunningRedis> {
  const auth = password === undefined ? [] : ["--requirepass", password];
  return await startProcess(redisServer, password, (port, folder) => [
    ...(tls === undefined ? ["--port", String(port)] : tlsArgs(tls, port, folder)),
    ...["--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no", ...auth, ...args],
  ]);
}

/** Starts a Cluster of three masters and resolves once each of them finds it whole. */
export async function startRedisCluster(redisServer: string): Promise<readonly RunningRedis[]> {
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => {
      const busPort = await freePort();
      const cluster = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "2000",
        "--cluster-port",
        String(busPort),
      ];
      return { busPort, redis: await startRedis(redisServer, { args: cluster }) };
    }),
  );
  const slots = 16_384;
  for (const [index, { redis }] of nodes.entries()) {
    const first = Math.ceil((slots / nodes.length) * index);
    const last = Math.ceil((slots / nodes.length) * (index + 1)) - 1;
    await redis.command("CLUSTER", "SET-CONFIG-EPOCH", String(index + 1));
    await redis.command("CLUSTER", "ADDSLOTSRANGE", String(first), String(last));
  }
  const [seed, ...others] = nodes;
  for (const { redis, busPort } of others) {
    await seed!.redis.command("CLUSTER", "MEET", "127.0.0.1", String(redis.port), String(busPort));
  }
  // Redis tells nobody outside its log when a cluster is whole: it has to be asked.
  await Promise.all(
    nodes.map(({ redis }) => until(async () => isWhole(await redis.command("CLUSTER", "INFO")))),
  );
  return nodes.map(({ redis }) => redis);
}

/** Starts a Sentinel that watches `master` under the name `larder`. */
export async function startSentinel(redisServer: string, master: RunningRedis): Promise<RunningRedis> {
  return await startProcess(redisServer, undefined, (port, folder) => {
    const file = join(folder, "sentinel.conf");
    const monitor = [
      `sentinel monitor larder 127.0.0.1 ${master.port} 1`,
      "sentinel down-after-milliseconds larder 500",
      "sentinel failover-timeout larder 2000",
    ].join("\n");
    writeFileSync(file, `port ${port}\nbind 127.0.0.1\ndir ${folder}\n${monitor}\n`);
    return [file, "--sentinel"];
  });
}

/** Polls a condition that only another process knows, every 20 ms. Never gives up: the test's own time-out does. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function isWhole(info: string): boolean {
  return info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3");
}

async function startProcess(
  redisServer: string,
  password: string | undefined,
  argsFor: (port: number, folder: string) => readonly string[],
): Promise<RunningRedis> {
  const folder = mkdtempSync(join(tmpdir(), "larder-redis-"));
  const port = await freePort();
  const args = argsFor(port, folder);
  let child: ChildProcess | undefined;
  const endWithUs = (): void => void child?.kill("SIGKILL");
  process.once("exit", endWithUs);

  async function start(): Promise<void> {
    child = spawn(redisServer, args, { stdio: ["ignore", "pipe", "inherit"] });
    await listening(child);
  }
  async function kill(): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
  await start();
  return {
    port,
    command: (...words) => command(port, password, words),
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
    kill,
    start,
    stop: async () => {
      await kill();
      process.off("exit", endWithUs);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when the server says that it listens; its log goes to its standard output. */
function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (/Ready to accept connections|Sentinel ID is/.test(log)) resolve();
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`redis-server ended:\n${log}`)));
  });
}

function tlsArgs(tls: TestPki, port: number, folder: string): readonly string[] {
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  return [
    ...["--port", "0", "--tls-port", String(port), "--tls-auth-clients", "no"],
    ...["--tls-ca-cert-file", file("ca.pem", tls.ca)],
    ...["--tls-cert-file", file("cert.pem", tls.cert), "--tls-key-file", file("key.pem", tls.key)],
  ];
}

/** One command over a connection of its own, which Redis ends after QUIT. */
async function command(
  port: number,
  password: string | undefined,
  words: readonly string[],
): Promise<string> {
  const auth = password === undefined ? [] : [["AUTH", password]];
  const socket = connect(port, "127.0.0.1");
  socket.write([...auth, words, ["QUIT"]].map(encodeCommand).join(""));
  let reply = "";
  for await (const chunk of socket) reply += (chunk as Buffer).toString();
  const text = (auth.length === 0 ? reply : reply.replace(/^\+OK\r\n/, "")).replace(/\+OK\r\n$/, "").trim();
  if (text.startsWith("-")) throw new Error(`${words.join(" ")}: ${text}`);
  return text.replace(/^[$+:]/, "");
}

function encodeCommand(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}
