import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../ops/log.ts";
import { openEmbeddedStore } from "../store/embedded.ts";
import type { FilesBucket } from "../resources/files.ts";
import { Bucket } from "../s3/bucket.ts";
import { Uploads } from "../s3/uploads.ts";
import { type GuardedStore, guard } from "../store/guarded.ts";
import { openRedisStore } from "../store/redis.ts";
import type { OnSurvived } from "../store/survived.ts";

// Longer than a write waits for another process' lock (2.5 s); a disk that hangs must not hang the requests.
const EMBEDDED_BUDGET_MS = 3_000;

/** A store, and when it is there. */
export interface OpenedStore {
  readonly store: GuardedStore;
  /** Resolves when there is a connection to it; never, where there is none to be had. */
  readonly connected: Promise<void>;
}

/** Opens the store of documents that is configured, and puts a guard before it. */
export function openStore(config: Config, clock: Clock, log: Log, onSurvived: OnSurvived): OpenedStore {
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

/** The bucket that is configured; undefined for none. */
export function openBucket(
  config: Config,
  clock: Clock,
  onSurvived: OnSurvived,
  onUploaded: (outcome: "stored" | "failed") => void,
): FilesBucket | undefined {
  if (config.s3 === undefined) return undefined;
  const bucket = new Bucket({ target: config.s3, clock, onSurvived });
  const uploads = new Uploads({ bucket, clock, onSurvived, onDone: onUploaded });
  return { bucket, uploads, redirects: config.s3Redirect };
}

/** What of the disk is for files. */
export function filesBudget(config: Config): number {
  return config.redis === undefined ? config.diskBytes - documentsBudget(config) : config.diskBytes;
}

/** Opens something in the data directory, and names that where it cannot be done. */
export function openIn<T>({ dataDirectory, filesDirectory }: Config, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const folder = filesDirectory === undefined ? "" : ` or LARDER_FILES_DIRECTORY (${filesDirectory})`;
    throw new Error(`LARDER_DATA (${dataDirectory})${folder} cannot be used: ${reason}`, { cause: error });
  }
}
