import { isatty } from "node:tty";
import packageJson from "../../package.json" with { type: "json" };
import { Blobs } from "../blobs/blobs.ts";
import { Cache } from "../cache/cache.ts";
import { Memory } from "../cache/memory.ts";
import { type Clock, systemClock, within } from "../clock.ts";
import { type Config, describeConfig } from "../config/config.ts";
import { Unannounced } from "../errors.ts";
import type { Mirrors } from "../mirrors/mirrors.ts";
import { createLog } from "../ops/log.ts";
import { createMetrics, type Metrics } from "../ops/metrics.ts";
import { DecodedDocuments } from "../resources/decoded-documents.ts";
import { Documents, groupsOf } from "../resources/documents.ts";
import { Files } from "../resources/files.ts";
import { Metadata } from "../resources/metadata.ts";
import { Representations } from "../resources/representations.ts";
import { serveMetadata } from "../routes/metadata.ts";
import { createApp, sendFault } from "../routes/app.ts";
import { refusalOf } from "../routes/not-served.ts";
import type { Readiness } from "../routes/ops.ts";
import { redirectLegacy } from "../routes/legacy-files.ts";
import { type PublicBaseOptions, publicPrefix } from "../routes/public-base.ts";
import { SAFE_METHODS } from "../routes/exchange.ts";
import { createServer } from "../routes/server.ts";
import { Repeats } from "../routes/repeats.ts";
import { Shortcuts } from "../routes/shortcuts.ts";
import type { GuardedStore } from "../store/guarded.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { PrimaryLink } from "../workers/primary-link.ts";
import { feedGauges, feedReadiness, openFeed } from "./feed.ts";
import { drain, every, listen } from "./lifecycle.ts";
import { observe, toldOf } from "./observe.ts";
import { filesTarget, handOverOf, openEgress, openUpstream, watchMirrors } from "./outward.ts";
import { limitersOf, openFleet } from "./fleet.ts";
import { filesBudget, openBucket, openIn, openStore } from "./stores.ts";
import { handOver, sumOfWorkers } from "./worker-metrics.ts";
import { workersUp } from "./worker.ts";

/** A larder, put together and not yet listening. */
export interface Larder {
  /** @returns the port that it listens on */
  listen(): Promise<number>;
  /**
   * Stops taking requests, lets those under way end within `LARDER_SHUTDOWN`, and lets go of everything.
   * @param lingers whether others go on serving: then connections get the time to end by themselves
   */
  close(lingers?: boolean): Promise<void>;
  /** Replaces the workers; here there are none. */
  roll(): void;
  /** Ends the workers here and now; absent, where there are none. */
  readonly kill?: () => void;
}

// A start does not wait longer for a store that is not there: larder works without.
const CONNECT_PATIENCE_MS = 1_000;

// Until a file's answer begins: clients give up after 10 to 15 s (clients.md rule 26).
const MAX_FILE_WAIT_MS = 9_000;

// Of the memory tier's budget: the files and parts of files that are asked for again and again are few.
const FILES_SHARE_OF_MEMORY = 0.25;

// Memory hits are told to the store this often, for its least recently used to be true.
const TOUCH_EVERY_MS = 60_000;

// The folder of files is compared with the index this often: others may write there.
const LOOK_ROUND_EVERY_MS = 600_000;

// What is being uploaded at the end may be finished; what waits is fetched from upstream by whoever wants it.
const UPLOADS_PATIENCE_MS = 2_000;

/**
 * Builds everything, in the order in which it depends on one another; `close` takes it apart in reverse.
 * @param primary where this is one of several workers
 */
export function compose(
  config: Config,
  clock: Clock = systemClock,
  logTo?: Parameters<typeof createLog>[0]["to"],
  primary?: PrimaryLink,
): Larder {
  const isTerminal = isatty(1);
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    isTerminal,
    ...(logTo && { to: logTo }),
    ...(primary && { isShared: true, worker: primary.id }),
  });
  // The primary has said it for all.
  if (primary === undefined) log.info({ config: describeConfig(config) }, "starting");

  // Metrics read their sources when somebody asks, when all of them are there.
  const metrics: Metrics = createMetrics(
    {
      store: () => store.size(),
      memory: () => {
        const [documents, files] = [memory.size(), blobs.memorySize()];
        return { entries: documents.entries + files.entries, bytes: documents.bytes + files.bytes };
      },
      files: () => blobs.size(),
      isStoreUp: () => store.state().is === "up",
      mirrors: () => mirrors?.states() ?? [],
      ...(config.feed !== "off" && { feed: () => feedGauges(feed?.state(), clock) }),
    },
    (what, key, error) => onSurvived(what, key, error),
  );
  const onSurvived: OnSurvived = (what, key, error) => {
    metrics.survived(what);
    log.warn({ what, key, err: error }, "survived a failure");
  };

  const { store, connected } = openStore(config, clock, log, onSurvived);
  const fleet = openFleet(config, primary, clock, onSurvived);
  const limiters = limitersOf(fleet, config);
  const memoryBytes = Math.floor(config.memoryBytes / config.workers);
  const memory = new Memory(memoryBytes * (1 - FILES_SHARE_OF_MEMORY));
  const egress = openEgress(config);
  const upstream = openUpstream(config, {
    baseUrl: config.upstreamUrl,
    clock,
    egress,
    metrics,
    limiter: limiters.index,
  });
  const mirrors = watchMirrors(config, clock, egress, log);
  const cache = new Cache({
    store,
    memory,
    clock,
    lifetimes: config,
    patienceMs: config.patienceMs,
    lowerAfterMs: config.lowerSerialMs,
    fleet,
    coherenceMs: config.coherenceMs,
    followMs: config.followMs,
    onFailure: (key, error) => {
      if (!(error instanceof Unannounced)) log.warn({ key, ...toldOf(error) }, "upstream gave no answer");
    },
    onLowerGeneration: (key, known, answered, outcome) => {
      metrics.survived(`lower-serial-${outcome}`);
      log.warn({ key, known, answered, outcome }, "upstream answered with a lower serial");
    },
    feed: (group) => feed?.word(group),
  });
  const feed = openFeed(config, { upstream, store, fleet, cache, clock, metrics, log, onSurvived });
  const { maxDocumentBytes } = config;
  const decoded = new DecodedDocuments({ clock, maxDocumentBytes });
  const representations = new Representations({
    cache,
    decoded,
    filesUpstream: config.filesUpstreamUrl,
    indexUpstream: config.upstreamUrl,
  });
  const documents = new Documents({
    upstream,
    decoded,
    maxDocumentBytes,
    onUnproven: (path, etag) => {
      metrics.survived("etag-mismatch");
      log.warn({ path, etag }, "the body's md5 is not its ETag; taken on length, coding and shape");
    },
  });

  const filesFront = handOverOf(config);
  const blobs = openIn(
    config,
    () =>
      new Blobs({
        directory: config.dataDirectory,
        sharedDirectory: config.filesDirectory,
        leases: fleet.isShared ? fleet.leases : undefined,
        isPublished: config.s3 !== undefined,
        maxBytes: filesBudget(config),
        // A front that sends the files keeps them in the memory of its system.
        memoryBytes: filesFront === undefined ? memoryBytes * FILES_SHARE_OF_MEMORY : 0,
        clock,
        onSurvived,
        onEvent: (event) => metrics.blob(event),
      }),
  );
  // A download lasts: it must not take the connections of what is small and urgent, nor wait long for one of its own.
  const filesEgress = openEgress(config);
  const filesUpstream = openUpstream(config, {
    baseUrl: config.filesUpstreamUrl,
    clock,
    egress: filesEgress,
    metrics,
    limiter: limiters.files,
    wholeMs: MAX_FILE_WAIT_MS,
  });
  const metadataUpstream = openUpstream(config, {
    baseUrl: config.filesUpstreamUrl,
    clock,
    egress,
    metrics,
    limiter: limiters.metadata,
  });
  const bucket = openBucket(config, clock, onSurvived, (outcome) => metrics.uploaded(outcome));
  const files = new Files({ blobs, upstream: filesUpstream, bucket, clock, negativeMs: config.negativeMs });
  const metadata = new Metadata({
    cache,
    documents,
    representations,
    upstream: metadataUpstream,
    clock,
    negativeMs: config.negativeMs,
    maxDocumentBytes,
  });

  const publicBase: PublicBaseOptions = {
    publicUrl: config.publicUrl,
    isTrustedPeer: (address) => config.trustedProxies.trusts(address),
  };
  const basesOptions = { filesTarget: filesTarget(config, mirrors), publicBase };
  const serving = { cache, documents, representations, clock, ...basesOptions };
  const onFault = (error: unknown): void => log.error({ err: error }, "a fault of larder's own");
  const shortcuts = new Shortcuts({
    ...basesOptions,
    onError: (exchange, error) => void sendFault(exchange, error, { onFault }),
  });
  const mayPurge = config.purgers.description !== "none";
  const purge = async (project: string): Promise<void> => {
    for (const group of groupsOf(project)) await cache.purge(group);
    log.warn({ project }, "purged");
  };
  let draining = false;
  const workers = primary && workersUp(primary, config.workers);
  const renderMetrics =
    primary === undefined
      ? async () => ({ contentType: metrics.contentType, text: await metrics.render() })
      : sumOfWorkers(primary, metrics);
  const app = createApp({
    ...serving,
    shortcuts,
    files,
    ...(filesFront && { handOver: filesFront }),
    metadata: (exchange, path) => serveMetadata(exchange, path, { ...serving, metadata }),
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
    readiness: () => ({
      ...readiness(draining, store, upstream, filesUpstream, mirrors),
      feed: feedReadiness(feed?.state(), clock),
      ...workers?.(),
    }),
    metrics: renderMetrics,
    onFault,
    purge: mayPurge ? { isAllowed: (address) => config.purgers.trusts(address), purge } : undefined,
  });
  const server = createServer({
    fetch: app.fetch,
    shortcuts,
    repeats: new Repeats({ ...basesOptions, ...publicBase }),
    prefix: publicPrefix(config.publicUrl),
    methods: mayPurge ? [...SAFE_METHODS, "PURGE"] : SAFE_METHODS,
    refusalOf: (path) => refusalOf(path, config.upstreamUrl),
    onDone: (exchange) => observe(exchange, metrics, log),
  });
  const stopTouching = every(clock, TOUCH_EVERY_MS, async () => {
    await cache.touchStore();
    await blobs.flushUses();
  });
  const stopLooking = every(clock, LOOK_ROUND_EVERY_MS, () => blobs.lookRound());

  return {
    listen: async () => {
      await within(clock, CONNECT_PATIENCE_MS, connected);
      const port = await listen(server, config);
      feed?.start();
      if (primary === undefined)
        log.info({ host: config.host, port }, `listening on http://${config.host}:${port}`);
      return port;
    },
    close: async (lingers = false) => {
      draining = true;
      const touched = stopTouching();
      void stopLooking(); // what is under way ends with the blobs
      await drain(server, clock, config.shutdownMs, lingers);
      await touched;
      const unfollowed = feed?.close();
      // While what they are read from is still there.
      if (primary !== undefined) await handOver(primary, metrics);
      await mirrors?.close();
      await bucket?.uploads.close(UPLOADS_PATIENCE_MS);
      // Breaks what it asks upstream for: a fill that waits for an answer would wait for longer than there is time.
      const blobsClosed = blobs.close();
      await filesUpstream.close();
      await blobsClosed;
      await bucket?.bucket.close();
      await upstream.close(); // and with it the way out that all but the files share
      await unfollowed;
      await cache.touchStore();
      await fleet.close();
      await store.close();
      if (primary === undefined) log.info("stopped");
      await log.written();
    },
    roll: () => {
      // A terminal that goes tells all of its processes; a worker is replaced by the primary.
      if (primary === undefined) log.info("SIGHUP: this larder has no workers to replace, and goes on");
    },
  };
}

function readiness(
  draining: boolean,
  store: GuardedStore,
  upstream: Upstream,
  files: Upstream,
  mirrors: Mirrors | undefined,
): Readiness {
  return {
    ready: !draining,
    draining,
    store: store.state(),
    upstream: upstream.state(),
    files: files.state(),
    mirrors: mirrors?.states() ?? [],
  };
}
