import type { Ms } from "../clock.ts";
import { accel, type Accel } from "./accel.ts";
import {
  baseUrl,
  caFile,
  contact,
  fileTarget,
  listenHost,
  proxyUrl,
  redisUrl,
  s3Url,
  trustedProxies,
  type ExtraCa,
  type FileTarget,
  type TrustedProxies,
} from "./addresses.ts";
import {
  duration,
  flag,
  integer,
  integerOrUnlimited,
  oneOf,
  optional,
  path,
  size,
  text,
  workerCount,
} from "./values.ts";
import type { RedisTarget } from "../redis/url.ts";
import type { S3Target } from "../s3/target.ts";
import { LIFETIME_OPTIONS, type LifetimeConfig } from "./lifetime-options.ts";
import type { Option } from "./option.ts";

export type { Option } from "./option.ts";

/** Everything that can be configured, ready to use. Only compose.ts sees it: what is below gets values handed. */
export interface Config extends LifetimeConfig {
  /** 0 lets the system choose. */
  readonly port: number;
  readonly host: string;
  /** All base URLs have no slash at the end. */
  readonly upstreamUrl: string;
  readonly filesUpstreamUrl: string;
  /** Relative to the working directory unless absolute. */
  readonly dataDirectory: string;
  /** A folder of files that other nodes share; undefined for one below the data directory. */
  readonly filesDirectory: string | undefined;
  readonly s3: S3Target | undefined;
  readonly s3Redirect: boolean;
  readonly redis: RedisTarget | undefined;
  readonly redisBudgetMs: Ms;
  readonly redisExpireMs: Ms;
  readonly files: FileTarget;
  readonly mirrorProbeMs: Ms;
  readonly publicUrl: string | undefined;
  readonly trustedProxies: TrustedProxies;
  readonly purgers: TrustedProxies;
  readonly accel: Accel;
  readonly offline: boolean;
  readonly coherenceMs: Ms;
  readonly followMs: Ms;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly maxDocumentBytes: number;
  readonly connectTimeoutMs: Ms;
  readonly firstByteTimeoutMs: Ms;
  readonly betweenBytesTimeoutMs: Ms;
  readonly wholeTimeoutMs: Ms;
  readonly upstreamConnections: number;
  /** Infinity for no such bound. */
  readonly upstreamPerSecond: number;
  readonly logLevel: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
  readonly logFormat: "auto" | "json" | "pretty";
  readonly contact: string | undefined;
  readonly ca: ExtraCa | undefined;
  readonly shutdownMs: Ms;
  /** 1: this process alone. */
  readonly workers: number;
  /** May hold credentials: for undici alone, never for a log. */
  readonly httpProxy: string | undefined;
  readonly httpsProxy: string | undefined;
  readonly noProxy: string | undefined;
}

const SECOND: Ms = 1_000;
const MINUTE: Ms = 60 * SECOND;
const DAY: Ms = 24 * 60 * MINUTE;
const MIB = 2 ** 20;

// What a timer waits for. Bounded, because setTimeout takes no more than 2^31 ms and fires at once beyond.
const timer = duration({ min: 1, max: DAY });
const timerOrNone = duration({ max: DAY });

/** Every option, in the order in which the README lists them. */
export const OPTIONS: { readonly [K in keyof Config]: Option<Config[K]> } = {
  port: {
    env: "PORT",
    kind: integer(0, 65_535),
    fallback: "8080",
    help: "TCP port to listen on; 0 takes any free one",
    reason: "what container platforms expect, and no privilege is needed",
  },
  host: {
    env: "HOST",
    kind: listenHost,
    fallback: "0.0.0.0",
    help: "address to listen on; `::` listens on IPv6 and IPv4",
    reason: "works everywhere, also where the machine has no IPv6",
  },
  upstreamUrl: {
    env: "LARDER_UPSTREAM",
    kind: baseUrl,
    fallback: "https://pypi.org",
    help: "the package index that is mirrored",
    reason: "the index that clients use by default",
  },
  filesUpstreamUrl: {
    env: "LARDER_FILES_UPSTREAM",
    kind: baseUrl,
    fallback: "https://files.pythonhosted.org",
    help: "where the index's file URLs begin; only such URLs are rewritten",
    reason: "where PyPI keeps its files",
  },
  dataDirectory: {
    env: "LARDER_DATA",
    kind: path,
    fallback: "./data",
    help: "directory of the embedded store, and of the files unless `LARDER_FILES_DIRECTORY` is given; created if missing",
    reason: "beside where larder is started, so that nothing has to be prepared",
  },
  filesDirectory: {
    env: "LARDER_FILES_DIRECTORY",
    kind: optional(path),
    fallback: "",
    help: "folder of the files, which several machines may share; `LARDER_DATA/files` where not given",
    reason: "one machine needs no other folder",
  },
  s3: {
    env: "LARDER_S3",
    kind: optional(s3Url),
    fallback: "",
    help:
      "bucket for files behind the disk, shared by all nodes: `s3://bucket/prefix?endpoint=https://host:9000&region=…`; " +
      "credentials as the AWS SDK finds them (`AWS_ACCESS_KEY_ID`, …)",
    reason: "a disk is enough for one larder",
  },
  s3Redirect: {
    env: "LARDER_S3_REDIRECT",
    kind: flag,
    fallback: "0",
    help: "send clients to the bucket (302, a URL signed for a minute) for files that are there and not on the disk",
    reason: "clients must be able to reach the bucket",
  },
  redis: {
    env: "REDIS_URL",
    kind: optional(redisUrl),
    fallback: "",
    help: "store in this Redis instead of the data directory, shared by several larders",
    reason: "one larder needs no Redis",
  },
  redisBudgetMs: {
    env: "LARDER_REDIS_BUDGET",
    kind: timer,
    fallback: "100ms",
    help: "how long a request waits for Redis before it goes on without",
    reason: "far above a healthy Redis, and below what asking PyPI costs",
  },
  redisExpireMs: {
    env: "LARDER_REDIS_EXPIRE",
    kind: duration({ min: MINUTE, max: 36_500 * DAY }),
    fallback: "90d",
    help: "how long Redis keeps what nobody asks for",
    reason: "outlives a long outage, yet nothing stays for ever and any maxmemory-policy can evict",
  },
  files: {
    env: "LARDER_FILES",
    kind: fileTarget,
    fallback: "larder",
    help:
      "where file URLs point: `larder` itself, `upstream` (as PyPI wrote them), or mirrors' base URLs in order of " +
      "preference, of which the first healthy one is used",
    reason: "an installer needs no way out but larder, and files are held for when there is none",
  },
  mirrorProbeMs: {
    env: "LARDER_MIRROR_PROBE",
    kind: duration({ min: SECOND, max: DAY }),
    fallback: "10s",
    help: "pause between two health probes of a mirror",
    reason: "a dead mirror is left within seconds, at a cost of nothing to a live one",
  },
  publicUrl: {
    env: "LARDER_PUBLIC_URL",
    kind: optional(baseUrl),
    fallback: "",
    help: "larder's own URL as clients see it, perhaps with a path prefix",
    reason: "the request's Host says it where no proxy rewrites paths",
  },
  trustedProxies: {
    env: "LARDER_TRUST_PROXY",
    kind: trustedProxies,
    fallback: "none",
    help:
      "peers whose `X-Forwarded-*` is believed: `none`, `all`, or addresses, CIDR networks, `loopback` and `private` " +
      "(RFC 1918, RFC 4193)",
    reason: "anyone can send these fields",
  },
  purgers: {
    env: "LARDER_PURGE_FROM",
    kind: trustedProxies,
    fallback: "none",
    help:
      "peers that may forget a project by `PURGE /simple/<project>/`: `none`, `all`, or addresses, CIDR networks, " +
      "`loopback` and `private`; behind a proxy the peer is the proxy",
    reason: "who can purge can make larder ask PyPI as often as he likes",
  },
  accel: {
    env: "LARDER_ACCEL",
    kind: accel,
    fallback: "none",
    help:
      "whether a front among `LARDER_TRUST_PROXY` sends the files that are on disk: `none`, `x-accel-redirect` (nginx; " +
      "its internal location is `/larder-files/`, or follows a colon), `x-sendfile` (Apache, lighttpd, Caddy)",
    reason: "the front must have been set up for it",
  },
  offline: {
    env: "LARDER_OFFLINE",
    kind: flag,
    fallback: "0",
    help: "never ask upstream; serve what is held, as old as `LARDER_STALE_IF_ERROR` allows",
    reason: "a cache needs its upstream",
  },
  ...LIFETIME_OPTIONS,
  coherenceMs: {
    env: "LARDER_COHERENCE",
    kind: duration({ max: MINUTE }),
    fallback: "5s",
    help:
      "how long, at most, a larder that is not alone serves from memory without a look at what others have stored; they " +
      "tell it at once where they can",
    reason: "one small read of the store in so long for what is asked for all the time; nobody notices 5s",
  },
  followMs: {
    env: "LARDER_LEASE_WAIT",
    kind: timer,
    fallback: "8s",
    help: "longest wait for another worker or larder that is asking upstream for the same, before asking too",
    reason: "clients give up after 10s to 15s; one that dies is missed after 3s",
  },
  memoryBytes: {
    env: "LARDER_MEMORY",
    kind: size(),
    fallback: "256MiB",
    help: "budget of the memory tier of all workers together, which holds answers ready to send, and in a quarter of it files that are read again and again (at the default, up to 24 MiB each); `0` for none",
    reason: "holds thousands of typical documents and fits a small machine",
  },
  diskBytes: {
    env: "LARDER_DISK",
    kind: size({ min: MIB }),
    fallback: "10GiB",
    help: "budget of the data directory (and a shared folder): a fifth for documents (none with Redis), the rest for files; least recently used go first",
    reason: "a company's everyday packages, and no surprise on a disk",
  },
  maxDocumentBytes: {
    env: "LARDER_MAX_DOCUMENT",
    kind: size({ min: MIB, max: 1024 * MIB }),
    fallback: "128MiB",
    help: "largest document that is accepted from upstream, decoded",
    reason: "several times PyPI's largest (30 MB), and no bomb",
  },
  connectTimeoutMs: {
    env: "LARDER_CONNECT_TIMEOUT",
    kind: timer,
    fallback: "3s",
    help: "longest wait for a connection to upstream",
    reason: "a lost first packet is sent again after 1s, so that one loss is survived",
  },
  firstByteTimeoutMs: {
    env: "LARDER_FIRST_BYTE_TIMEOUT",
    kind: timer,
    fallback: "8s",
    help: "longest wait for upstream's answer to begin",
    reason: "PyPI renders its largest documents within seconds; pip itself gives up after 15s",
  },
  betweenBytesTimeoutMs: {
    env: "LARDER_BETWEEN_BYTES_TIMEOUT",
    kind: timer,
    fallback: "10s",
    help: "longest silence within upstream's answer",
    reason: "rides out a lost packet or two, not a dead connection",
  },
  wholeTimeoutMs: {
    env: "LARDER_WHOLE_TIMEOUT",
    kind: timer,
    fallback: "60s",
    help: "longest time that one exchange with upstream may take in all",
    reason: "30 MB within a minute needs only 4 Mbit/s",
  },
  upstreamConnections: {
    env: "LARDER_UPSTREAM_CONNECTIONS",
    kind: integer(1, 1_024),
    fallback: "32",
    help: "most requests to an upstream at a time, of all workers and of all larders that share a Redis",
    reason: "keeps a cold build farm busy without a burst that PyPI would call abuse",
  },
  upstreamPerSecond: {
    env: "LARDER_UPSTREAM_RATE",
    kind: integerOrUnlimited(1, 100_000),
    fallback: "100",
    help:
      "most requests a second to an upstream, over time and of all alike; ten seconds' worth of them may go at once; " +
      "`unlimited` for no such bound",
    reason:
      "PyPI asks for less than thousands in minutes from who can wait; a cold farm is warm soon all the same",
  },
  logLevel: {
    env: "LARDER_LOG",
    kind: oneOf("fatal", "error", "warn", "info", "debug", "trace", "silent"),
    fallback: "info",
    help: "least severe level that is logged",
    reason: "one line a request",
  },
  logFormat: {
    env: "LARDER_LOG_FORMAT",
    kind: oneOf("auto", "json", "pretty"),
    fallback: "auto",
    help: "`json` lines, `pretty` for people, or `auto`: pretty on a terminal",
    reason: "right in a container and at a desk",
  },
  contact: {
    env: "LARDER_CONTACT",
    kind: optional(contact),
    fallback: "",
    help: "URL or e-mail address that PyPI's operators find in the User-Agent",
    reason: "PyPI asks for one; only you know it",
  },
  ca: {
    env: "LARDER_CA",
    kind: optional(caFile),
    fallback: "",
    help: "PEM file of certificate authorities to trust beside the usual ones",
    reason: "only needed behind a proxy that opens TLS, or with a private upstream",
  },
  shutdownMs: {
    env: "LARDER_SHUTDOWN",
    kind: timerOrNone,
    fallback: "8s",
    help: "how long running requests may take to end after a signal to stop",
    reason: "Docker kills after 10s; raise both together",
  },
  workers: {
    env: "LARDER_WORKERS",
    kind: workerCount,
    fallback: "1",
    help: "processes that answer on the one port: a number, or `auto` for as many as there are cores",
    reason: "one core answers thousands of requests a second, and one process is the least to run",
  },
  httpProxy: {
    env: "HTTP_PROXY",
    alias: "http_proxy",
    kind: optional(proxyUrl),
    fallback: "",
    help: "forward proxy for an upstream with http",
    reason: "what other programs on the machine use",
  },
  httpsProxy: {
    env: "HTTPS_PROXY",
    alias: "https_proxy",
    kind: optional(proxyUrl),
    fallback: "",
    help: "forward proxy for an upstream with https",
    reason: "what other programs on the machine use",
  },
  noProxy: {
    env: "NO_PROXY",
    alias: "no_proxy",
    kind: optional(text),
    fallback: "",
    help: "hosts that are asked directly, with commas between them; `*` for all",
    reason: "what other programs on the machine use",
  },
};
