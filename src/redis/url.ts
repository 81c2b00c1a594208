import { ConfigError } from "../errors.ts";

/** Where one Redis process listens. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

interface Access {
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** Which Redis to use, and how to get at it. Holds a password: describe it with `describeRedis`, never print it. */
export type RedisTarget =
  | (Access & { readonly kind: "standalone"; readonly address: RedisAddress; readonly db: number })
  | (Access & {
      readonly kind: "sentinel";
      readonly sentinels: readonly RedisAddress[];
      readonly masterName: string;
      readonly db: number;
      /** For the Sentinels themselves: they often have other credentials than the data nodes, or none. */
      readonly sentinelUsername: string | undefined;
      readonly sentinelPassword: string | undefined;
    })
  | (Access & { readonly kind: "cluster"; readonly nodes: readonly RedisAddress[] });

/** What REDIS_URL accepts, for error messages and the README. */
const REDIS_URL_FORMS: readonly string[] = [
  "redis://[user:password@]host[:6379][/db]",
  "redis+sentinel://[user:password@]host[:26379],host…/master-name[/db][?sentinel-username=…&sentinel-password=…]",
  "redis+cluster://[user:password@]host[:6379],host…",
  "rediss:// instead of redis:// (and rediss+…) for TLS",
];

const SCHEMES: Readonly<Record<string, { kind: RedisTarget["kind"]; tls: boolean; port: number }>> = {
  redis: { kind: "standalone", tls: false, port: 6379 },
  rediss: { kind: "standalone", tls: true, port: 6379 },
  "redis+sentinel": { kind: "sentinel", tls: false, port: 26379 },
  "rediss+sentinel": { kind: "sentinel", tls: true, port: 26379 },
  "redis+cluster": { kind: "cluster", tls: false, port: 6379 },
  "rediss+cluster": { kind: "cluster", tls: true, port: 6379 },
};

const SENTINEL_PARAMETERS: readonly string[] = ["sentinel-username", "sentinel-password"];

/** A host name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port. */
const ADDRESS =
  /^(?:\[(?<six>[0-9a-f:.]+)\]|(?<host>[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?))(?::(?<port>\d{1,5}))?$/i;
const SHAPE = /^(?<scheme>[^:]*):\/\/(?<authority>[^/?#]*)(?<path>[^?#]*)(?:\?(?<query>[^#]*))?$/;

/**
 * Reads a Redis URL in one of the `REDIS_URL_FORMS`. User and password are percent-decoded.
 *
 * @throws ConfigError with one fault. Its message repeats nothing of the input except a scheme that is known not to be
 * secret: a password with a raw `/` or `#` in it would otherwise be printed as a host or a path.
 */
export function parseRedisUrl(text: string): RedisTarget {
  const { scheme = "", authority = "", path = "", query } = SHAPE.exec(text)?.groups ?? {};
  const form = SCHEMES[scheme.toLowerCase()];
  if (form === undefined) {
    throw fault(`expected one of ${REDIS_URL_FORMS.join("; ")}`);
  }
  const at = authority.lastIndexOf("@");
  const access = { tls: form.tls, ...parseCredentials(at === -1 ? "" : authority.slice(0, at)) };
  const addresses = authority
    .slice(at + 1)
    .split(",")
    .map((part) => parseAddress(part, form.port));
  const segments = parsePath(path);
  const parameters = parseParameters(query, form.kind === "sentinel" ? SENTINEL_PARAMETERS : []);

  if (form.kind === "cluster") {
    if (segments.length > 0) throw fault("a Cluster has no database number or other path");
    return { kind: "cluster", ...access, nodes: addresses };
  }
  if (form.kind === "sentinel") {
    const [masterName, db, ...more] = segments;
    if (masterName === undefined || more.length > 0) {
      throw fault("expected the master's name, and at most a database number, as the path");
    }
    return {
      kind: "sentinel",
      ...access,
      sentinels: addresses,
      masterName,
      db: parseDatabase(db),
      sentinelUsername: parameters.get("sentinel-username"),
      sentinelPassword: parameters.get("sentinel-password"),
    };
  }
  const [address, ...others] = addresses;
  if (address === undefined || others.length > 0) {
    throw fault("several hosts need redis+sentinel:// or redis+cluster://");
  }
  const [db, ...more] = segments;
  if (more.length > 0) throw fault("expected at most a database number as the path");
  return { kind: "standalone", ...access, address, db: parseDatabase(db) };
}

/** The target as it may be logged: hosts, master and database, no user and no password. */
export function describeRedis(target: RedisTarget): string {
  const scheme = target.tls ? "rediss" : "redis";
  switch (target.kind) {
    case "standalone":
      return `${scheme}://${join([target.address])}/${target.db}`;
    case "sentinel":
      return `${scheme}+sentinel://${join(target.sentinels)}/${encodeURIComponent(target.masterName)}/${target.db}`;
    case "cluster":
      return `${scheme}+cluster://${join(target.nodes)}`;
  }
}

function join(addresses: readonly RedisAddress[]): string {
  return addresses.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`).join(",");
}

function parseCredentials(text: string): Pick<Access, "username" | "password"> {
  const colon = text.indexOf(":");
  if (text !== "" && colon === -1) {
    throw fault("a user without a password: expected user:password@ or :password@");
  }
  const username = decode(text.slice(0, Math.max(colon, 0)));
  const password = decode(text.slice(colon + 1));
  return {
    username: username === "" ? undefined : username,
    password: password === "" ? undefined : password,
  };
}

function parseAddress(text: string, defaultPort: number): RedisAddress {
  const { six, host = six, port } = ADDRESS.exec(text)?.groups ?? {};
  if (host === undefined) {
    throw fault("expected host or host:port (a password's / ? # @ : must be percent-encoded)");
  }
  const portNumber = port === undefined ? defaultPort : Number(port);
  if (portNumber < 1 || portNumber > 65_535) throw fault("expected a port from 1 to 65535");
  return { host, port: portNumber };
}

function parsePath(path: string): readonly string[] {
  const trimmed = path.replace(/^\//, "").replace(/\/$/, "");
  if (trimmed === "") return [];
  const segments = trimmed.split("/").map(decode);
  if (segments.includes("")) throw fault("expected no empty part in the path");
  return segments;
}

function parseDatabase(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^\d{1,5}$/.test(text)) throw fault("expected a database number such as /0");
  return Number(text);
}

function parseParameters(query: string | undefined, known: readonly string[]): ReadonlyMap<string, string> {
  const parameters = new Map(new URLSearchParams(query ?? ""));
  for (const name of parameters.keys()) {
    if (!known.includes(name)) {
      throw fault(
        known.length === 0 ? "expected no ?query" : `expected no parameter but ${known.join(", ")}`,
      );
    }
  }
  return parameters;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    // The URIError's own message has no part of the text in it.
    throw new ConfigError([
      `not a Redis URL: ${cause instanceof Error ? cause.message : "bad percent-encoding"}`,
    ]);
  }
}

function fault(expected: string): ConfigError {
  return new ConfigError([`not a Redis URL: ${expected}`]);
}
