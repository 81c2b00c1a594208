import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { Blobs } from "./blobs/blobs.ts";
import { Cache } from "./cache/cache.ts";
import { cacheStatusWord } from "./cache/cache-status.ts";
import { Memory } from "./cache/memory.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Config, describeConfig } from "./config/config.ts";
import { Unannounced, UpstreamUnavailable } from "./errors.ts";
import { headProbe } from "./mirrors/head-probe.ts";
import { createMirrors, type Mirrors, type MirrorState } from "./mirrors/mirrors.ts";
import { createLog, type Log } from "./ops/log.ts";
import { createMetrics, type Metrics } from "./ops/metrics.ts";
import { Documents } from "./resources/documents.ts";
import { Files } from "./resources/files.ts";
import { Metadata } from "./resources/metadata.ts";
import { Representations } from "./resources/representations.ts";
import { serveBeside } from "./routes/beside.ts";
import { createApp } from "./routes/app.ts";
import { refusalOf } from "./routes/elsewhere.ts";
import type { Exchange } from "./routes/exchange.ts";
import type { Readiness } from "./routes/ops.ts";
import type { FilesTarget } from "./routes/pointing.ts";
import { redirectLegacy } from "./routes/legacy-files.ts";
import { type PublicBaseOptions, publicPrefix } from "./routes/public-base.ts";
import { createServer, type LarderServer } from "./routes/server.ts";
import { openEmbeddedStore } from "./store/embedded.ts";
import { type GuardedStore, guard } from "./store/guarded.ts";
import { openRedisStore } from "./store/redis.ts";
import type { OnSurvived } from "./store/survived.ts";
import { createEgress, type Egress } from "./upstream/dispatcher.ts";
import { createUpstream, type Upstream } from "./upstream/upstream.ts";

/** A larder, put together and not yet listening. */
export interface Larder {
  /** @returns the port that it listens on */
  listen(): Promise<number>;
  /** Stops taking requests, lets those under way end within `LARDER_SHUTDOWN`, and lets go of everything. */
  close(): Promise<void>;
}

// Longer than a write waits for another process' lock (2.5 s); a disk that hangs must not hang the requests.
const EMBEDDED_BUDGET_MS = 3_000;

// Memory hits are told to the store this often, for its least recently used to be true.
const TOUCH_EVERY_MS = 60_000;

// A start does not wait longer for a store that is not there: larder works without.
const CONNECT_PATIENCE_MS = 1_000;

// A build farm connects all at once; beyond the backlog a client waits a second for its second SYN. Node's is 511.
const LISTEN_BACKLOG = 4_096;

/** Builds everything, in the order in which it depends on one another; `close` takes it apart in reverse. */
export function compose(
  config: Config,
  clock: Clock = systemClock,
  logTo?: Parameters<typeof createLog>[0]["to"],
): Larder {
  const isTerminal = process.stdout.isTTY;
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    isTerminal,
    ...(logTo && { to: logTo }),
  });
  log.info({ config: describeConfig(config) }, "starting");

  // Metrics read their sources when somebody asks, when all of them are there.
  const metrics: Metrics = createMetrics(
    {
      store: () => store.size(),
      memory: () => memory.size(),
      files: () => blobs.size(),
      isStoreUp: () => store.state().is === "up",
      mirrors: () => mirrors?.states() ?? [],
    },
    (what, key, error) => onSurvived(what, key, error),
  );
  const onSurvived: OnSurvived = (what, key, error) => {
    metrics.survived(what);
    log.warn({ what, key, err: error }, "survived a failure");
  };

  const { store, connected } = openStore(config, clock, log, onSurvived);
  const memory = new Memory(config.memoryBytes);
  const egress = openEgress(config);
  const upstream = openUpstream(config, config.upstreamUrl, clock, egress, metrics);
  const mirrors = watchMirrors(config, clock, egress, log);
  const cache = new Cache({
    store,
    memory,
    clock,
    lifetimes: config,
    patienceMs: config.patienceMs,
    lowerAfterMs: config.lowerSerialMs,
    onFailure: (key, error) => {
      if (!(error instanceof Unannounced)) log.warn({ key, ...toldOf(error) }, "upstream gave no answer");
    },
    onLowerGeneration: (key, known, answered, outcome) => {
      metrics.survived(`lower-serial-${outcome}`);
      log.warn({ key, known, answered, outcome }, "upstream answered with a lower serial");
    },
  });
  const representations = new Representations({
    cache,
    clock,
    filesUpstream: config.filesUpstreamUrl,
    indexUpstream: config.upstreamUrl,
    maxDocumentBytes: config.maxDocumentBytes,
  });
  const documents = new Documents({
    upstream,
    maxDocumentBytes: config.maxDocumentBytes,
    expectDecoded: (digest, decoded) => representations.expect(digest, decoded),
    onUnproven: (path, etag) => {
      metrics.survived("etag-mismatch");
      log.warn({ path, etag }, "the body's md5 is not its ETag; taken on length, coding and shape");
    },
  });

  const blobs = openIn(
    config,
    () =>
      new Blobs({
        directory: config.dataDirectory,
        maxBytes: filesBudget(config),
        clock,
        onSurvived,
        onEvent: (event) => metrics.blob(event),
      }),
  );
  const filesUpstream = openUpstream(config, config.filesUpstreamUrl, clock, egress, metrics);
  const files = new Files({ blobs, upstream: filesUpstream, clock, negativeMs: config.negativeMs });
  const metadata = new Metadata({
    cache,
    documents,
    representations,
    upstream: filesUpstream,
    maxDocumentBytes: config.maxDocumentBytes,
  });

  const publicBase: PublicBaseOptions = {
    publicUrl: config.publicUrl,
    isTrustedPeer: (address) => config.trustedProxies.trusts(address),
  };
  const serving = { cache, documents, representations, clock, publicBase };
  let draining = false;
  const app = createApp({
    ...serving,
    filesTarget: filesTarget(config, mirrors),
    files,
    beside: (exchange, path) => serveBeside(exchange, path, { ...serving, metadata }),
    legacy: (exchange, path) => redirectLegacy(exchange, path, serving),
    onBroken: (path, error) => {
      metrics.survived("file-broken");
      log.warn(
        { path, ...toldOf(error) },
        "a file could not be sent whole: its client's connection was broken",
      );
    },
    version: packageJson.version,
    upstreamUrl: config.upstreamUrl,
    readiness: () => readiness(draining, store, upstream, mirrors),
    metrics: async () => ({ contentType: metrics.contentType, text: await metrics.render() }),
    onFault: (error) => log.error({ err: error }, "a fault of larder's own"),
  });
  const server = createServer({
    fetch: app.fetch,
    prefix: publicPrefix(config.publicUrl),
    refusalOf: (path) => refusalOf(path, config.upstreamUrl),
    onDone: (exchange) => observe(exchange, metrics, log),
  });
  const stopTouching = every(clock, TOUCH_EVERY_MS, async () => {
    await cache.touchStore();
    blobs.flushUses();
  });

  return {
    listen: async () => {
      await withinMs(clock, CONNECT_PATIENCE_MS, connected);
      const port = await listen(server, config);
      log.info({ host: config.host, port }, `listening on http://${config.host}:${port}`);
      return port;
    },
    close: async () => {
      draining = true;
      stopTouching();
      await drain(server, clock, config.shutdownMs);
      await mirrors?.close();
      await blobs.close();
      await upstream.close();
      await filesUpstream.close();
      await cache.touchStore();
      await store.close();
      log.info("stopped");
    },
  };
}

/** Opens something in the data directory, and names that where it cannot be done. */
function openIn<T>({ dataDirectory }: Config, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`LARDER_DATA (${dataDirectory}) cannot be used: ${reason}`, { cause: error });
  }
}

/** What upstream did is told in a word; a fault of larder's own needs its trace. */
function toldOf(error: unknown): Record<string, unknown> {
  if (!(error instanceof UpstreamUnavailable)) return { err: error };
  return { failure: error.failure, upstreamStatus: error.status, detail: error.message };
}

interface OpenedStore {
  readonly store: GuardedStore;
  /** Resolves when there is a connection to it; never, where there is none to be had. */
  readonly connected: Promise<void>;
}

function openStore(config: Config, clock: Clock, log: Log, onSurvived: OnSurvived): OpenedStore {
  const onRecovered = (what: string, downForMs: number): void =>
    log.info({ what, downForMs }, "the store is there again");
  if (config.redis === undefined) {
    const file = join(config.dataDirectory, "larder.sqlite");
    const embedded = openIn(config, () =>
      openEmbeddedStore({ file, maxBytes: documentsBudget(config), clock, onSurvived }),
    );
    const store = guard(embedded, { budgetMs: EMBEDDED_BUDGET_MS, clock, onSurvived, onRecovered });
    return { store, connected: Promise.resolve() };
  }
  const redis = openRedisStore({
    target: config.redis,
    budgetMs: config.redisBudgetMs,
    expireAfterMs: config.redisExpireMs,
    clock,
    onSurvived,
    ...(config.ca && { caPem: config.ca.pem }),
  });
  const store = guard(redis, { budgetMs: config.redisBudgetMs, clock, onSurvived, onRecovered });
  return { store, connected: redis.connected() };
}

// Documents are small: a fifth of the disk holds tens of thousands of projects, and files get the rest.
const DOCUMENTS_SHARE = 0.2;

function documentsBudget({ diskBytes }: Config): number {
  return Math.floor(diskBytes * DOCUMENTS_SHARE);
}

function filesBudget(config: Config): number {
  return config.redis === undefined ? config.diskBytes - documentsBudget(config) : config.diskBytes;
}

function openEgress(config: Config): Egress {
  return createEgress({
    httpProxy: config.httpProxy,
    httpsProxy: config.httpsProxy,
    noProxy: config.noProxy,
    caPem: config.ca?.pem,
    connectTimeoutMs: config.connectTimeoutMs,
    connections: config.upstreamConnections,
  });
}

/** One honest name for all clients, with a way to reach who runs it (facts/pypi.md §4.4). */
function userAgent(config: Config): string {
  const name = `larder/${packageJson.version}`;
  return config.contact === undefined ? name : `${name} (+${config.contact})`;
}

function openUpstream(
  config: Config,
  baseUrl: string,
  clock: Clock,
  egress: Egress,
  metrics: Metrics,
): Upstream {
  return createUpstream({
    baseUrl,
    egress,
    userAgent: userAgent(config),
    clock,
    timeouts: {
      firstByteMs: config.firstByteTimeoutMs,
      betweenBytesMs: config.betweenBytesTimeoutMs,
      wholeMs: config.wholeTimeoutMs,
    },
    maxDocumentBytes: config.maxDocumentBytes,
    offline: config.offline,
    onExchange: ({ outcome, ms }) => metrics.exchange({ outcome, durationMs: ms }),
  });
}

function watchMirrors(config: Config, clock: Clock, egress: Egress, log: Log): Mirrors | undefined {
  if (config.files.kind !== "mirrors") return undefined;
  return createMirrors({
    bases: config.files.bases,
    probe: headProbe({ dispatcher: egress.pooled, userAgent: userAgent(config) }),
    intervalMs: config.mirrorProbeMs,
    clock,
    onChange: (mirror: MirrorState) =>
      log.warn(mirror, mirror.healthy ? "mirror is healthy" : "mirror is not healthy"),
  });
}

function filesTarget(config: Config, mirrors: Mirrors | undefined): FilesTarget {
  if (mirrors !== undefined) return { kind: "mirror", current: () => mirrors.current() };
  return { kind: config.files.kind === "larder" ? "larder" : "upstream" };
}

function readiness(
  draining: boolean,
  store: GuardedStore,
  upstream: Upstream,
  mirrors: Mirrors | undefined,
): Readiness {
  return {
    ready: !draining,
    draining,
    store: store.state(),
    upstream: upstream.state(),
    mirrors: mirrors?.states() ?? [],
  };
}

/** The end of a request: one log line and its metrics, from one value. */
function observe({ incoming, outgoing }: Exchange, metrics: Metrics, log: Log): void {
  const { route, cacheStatus } = outgoing.outcome;
  const cache = cacheStatusWord(cacheStatus);
  const durationMs = performance.now() - outgoing.startedAtMs;
  metrics.request({ route, cache, status: outgoing.statusCode, durationMs });
  const isCollapsed = cacheStatus.kind === "forward" && cacheStatus.collapsed;
  if (isCollapsed) metrics.collapsed();
  if ((isCollapsed || cacheStatus.kind === "hit") && outgoing.statusCode < 500) metrics.avoided();
  log.info(
    {
      method: incoming.method,
      path: incoming.url?.split("?", 1)[0]?.slice(0, 256),
      status: outgoing.statusCode,
      cache,
      ms: Math.round(durationMs * 100) / 100,
      agent: incoming.headers["user-agent"],
      ...(!outgoing.writableFinished && { aborted: true }),
    },
    "request",
  );
}

/** Waits for `work`, but no longer than so: then goes on without. */
async function withinMs(clock: Clock, waitMs: number, work: Promise<void>): Promise<void> {
  let cancel = (): void => undefined;
  const late = new Promise<void>((resolve) => (cancel = clock.after(waitMs, resolve)));
  await Promise.race([work, late]);
  cancel();
}

/** @returns the port */
function listen({ http }: LarderServer, config: Config): Promise<number> {
  return new Promise((resolve, reject) => {
    http.once("error", reject);
    http.listen({ port: config.port, host: config.host, backlog: LISTEN_BACKLOG }, () => {
      http.off("error", reject);
      const address = http.address();
      resolve(typeof address === "object" && address !== null ? address.port : config.port);
    });
  });
}

/** Calls `work` again and again, one at a time, until the returned function is called. */
function every(clock: Clock, periodMs: number, work: () => Promise<void>): () => void {
  let stopped = false;
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.after(periodMs, () => void work().finally(() => !stopped && arm()));
  };
  arm();
  return () => {
    stopped = true;
    cancel();
  };
}

async function drain(server: LarderServer, clock: Clock, withinMs: number): Promise<void> {
  if (!server.http.listening) return;
  const { drained, cutOff } = server.drain();
  const cancel = clock.after(withinMs, cutOff);
  await drained;
  cancel();
}
