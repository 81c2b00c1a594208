import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { inspect } from "node:util";
import { Hono } from "hono";
import { createBlake2b256 } from "../../src/blobs/blake2b.ts";
import { Blobs, type BlobEvent } from "../../src/blobs/blobs.ts";
import type { Clock } from "../../src/clock.ts";
import type { Leases } from "../../src/fleet/leases.ts";
import { Files, type FilesBucket } from "../../src/resources/files.ts";
import { Bucket } from "../../src/s3/bucket.ts";
import { parseS3Url } from "../../src/s3/target.ts";
import { Uploads } from "../../src/s3/uploads.ts";
import type { OnSurvived } from "../../src/store/survived.ts";
import { type Bindings, exchangeOf } from "../../src/routes/exchange.ts";
import { filesRoutes } from "../../src/routes/files.ts";
import { sendText } from "../../src/routes/send.ts";
import { SAFE_METHODS } from "../../src/routes/exchange.ts";
import { createServer } from "../../src/routes/server.ts";
import { Shortcuts } from "../../src/routes/shortcuts.ts";
import { createEgress } from "../../src/upstream/dispatcher.ts";
import { createUpstream, type UpstreamOptions } from "../../src/upstream/upstream.ts";
import { fetchRaw, type Received, type Sent } from "../support/client.ts";
import { TestClock } from "../support/clock.ts";
import { generousLimiter } from "../support/limiter.ts";

export interface FileCacheOptions {
  /** Base URL of the files host. */
  readonly upstreamUrl: string;
  readonly clock?: Clock;
  readonly dataDirectory?: string;
  /** A folder of files that others share. */
  readonly sharedDirectory?: string;
  readonly leases?: Leases | undefined;
  /** As LARDER_S3. */
  readonly s3?: string;
  readonly s3Redirect?: boolean;
  readonly maxBytes?: number;
  readonly offline?: boolean;
  readonly timeouts?: Partial<UpstreamOptions["timeouts"]>;
}

/** Only the file cache of larder, on a real socket. */
export interface FileCache {
  readonly url: string;
  readonly dataDirectory: string;
  readonly blobs: Blobs;
  readonly bucket: FilesBucket | undefined;
  /** `what` of each failure that was survived. */
  readonly survived: string[];
  /** The errors of those failures, with all that a log would say of them. */
  readonly told: string[];
  readonly events: BlobEvent[];
  /** Paths whose client's connection was broken on purpose. */
  readonly broken: string[];
  get(path: string, sent?: Sent): Promise<Received>;
  /** Closes it, and leaves the data directory. */
  stop(): Promise<void>;
  /** Closes it for good. */
  close(): Promise<void>;
}

const GENEROUS = { firstByteMs: 10_000, betweenBytesMs: 10_000, wholeMs: 20_000 };

export async function startFileCache(options: FileCacheOptions): Promise<FileCache> {
  const clock = options.clock ?? new TestClock(Date.now());
  const dataDirectory = options.dataDirectory ?? mkdtempSync(join(tmpdir(), "larder-files-"));
  const survived: string[] = [];
  const told: string[] = [];
  const onSurvived: OnSurvived = (what, key, error) => {
    survived.push(what);
    told.push(inspect([what, key, error], { depth: 10 }));
  };
  const events: BlobEvent[] = [];
  const broken: string[] = [];
  const upstream = createUpstream({
    baseUrl: options.upstreamUrl,
    egress: createEgress({ connectTimeoutMs: 10_000, connections: 32 }),
    userAgent: "larder/test (+https://example.org/contact)",
    clock,
    timeouts: { ...GENEROUS, ...options.timeouts },
    maxDocumentBytes: 1,
    limiter: generousLimiter(clock),
    offline: options.offline ?? false,
  });
  const blobs = new Blobs({
    directory: dataDirectory,
    sharedDirectory: options.sharedDirectory,
    leases: options.leases,
    isPublished: options.s3 !== undefined,
    maxBytes: options.maxBytes ?? 1024 * 1024 * 1024,
    clock,
    onSurvived,
    onEvent: (event) => events.push(event),
  });
  const bucket = openBucket(options, clock, onSurvived);
  const app = new Hono<{ Bindings: Bindings }>();
  filesRoutes(app, {
    files: new Files({ blobs, upstream, bucket, clock, negativeMs: 60_000 }),
    clock,
    metadata: (_, path) => ({
      ready: (exchange) => sendText(exchange, "beside", 200, `beside ${path.distribution}`),
      later: () => {
        throw new Error("it was ready");
      },
    }),
    legacy: (exchange, path) => sendText(exchange, "legacy", 200, `legacy ${path.project}`),
    onBroken: (path) => broken.push(path),
    shortcuts: new Shortcuts({
      filesTarget: { kind: "upstream" },
      publicBase: { publicUrl: undefined, isTrustedPeer: () => false },
      onError: (_, error) => {
        throw error;
      },
    }),
  });
  app.onError((error, context) => sendText(exchangeOf(context), "fault", 500, String(error.stack)));
  const server = createServer({
    fetch: app.fetch,
    prefix: "",
    methods: SAFE_METHODS,
    refusalOf: () => "no",
    onDone: () => undefined,
  });
  server.http.listen(0, "127.0.0.1");
  await once(server.http, "listening");
  const url = `http://127.0.0.1:${(server.http.address() as AddressInfo).port}`;
  const stop = async (): Promise<void> => {
    const { drained, cutOff } = server.drain();
    cutOff();
    await drained;
    await bucket?.uploads.close(0);
    await blobs.close();
    await bucket?.bucket.close();
    await upstream.close();
  };
  return {
    url,
    dataDirectory,
    blobs,
    bucket,
    survived,
    told,
    events,
    broken,
    get: (path, sent) => fetchRaw(url, path, sent),
    stop,
    close: async () => {
      await stop();
      rmSync(dataDirectory, { recursive: true, force: true });
    },
  };
}

function openBucket(
  { s3, s3Redirect = false }: FileCacheOptions,
  clock: Clock,
  onSurvived: OnSurvived,
): FilesBucket | undefined {
  if (s3 === undefined) return undefined;
  const bucket = new Bucket({ target: parseS3Url(s3), clock, onSurvived });
  return { bucket, uploads: new Uploads({ bucket, clock, onSurvived }), redirects: s3Redirect };
}

/** The path that PyPI keeps these bytes under. */
export async function hashPath(bytes: Buffer, filename = "demo-1.0-py3-none-any.whl"): Promise<string> {
  const hash = await createBlake2b256();
  for (let at = 0; at < bytes.length; at += 1024 * 1024) hash.update(bytes.subarray(at, at + 1024 * 1024));
  const hex = hash.digest();
  return `/packages/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex.slice(4)}/${filename}`;
}

/** Bytes that repeat nowhere, the same for the same seed. */
export function someBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  let state = seed;
  const words = Math.floor(length / 4);
  for (let i = 0; i < words; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes.writeInt32LE(state, i * 4);
  }
  bytes.fill(seed, words * 4);
  return bytes;
}
