import { X509Certificate } from "node:crypto";
import { BlockList, isIP, isIPv4 } from "node:net";
import { accept, refuse, type Kind, type Outcome } from "./values.ts";
import { ConfigError } from "../errors.ts";
import { redactUserinfo } from "../redact.ts";
import { describeS3, parseS3Url, S3_URL_FORM, type S3Target } from "../s3/target.ts";
import { describeRedis, parseRedisUrl, type RedisTarget } from "../redis/url.ts";

/**
 * The base of other URLs: `http` or `https`, perhaps with a path prefix, normalized to have no slash at the end.
 * Credentials are refused, because these URLs are sent to clients and written to logs.
 */
export const baseUrl: Kind<string> = {
  accepts: "an http or https URL without user, query or fragment, such as https://pypi.org",
  mayHoldSecret: true,
  parse: parseBaseUrl,
  show: (value) => value,
};

function parseBaseUrl(given: string): Outcome<string> {
  const url = parseHttpUrl(given);
  if (url === undefined) return refuse(hintAtScheme(given));
  if (url.username !== "" || url.password !== "") return refuse("leave out the user name and password");
  if (/[?#]/.test(given)) return refuse("leave out the query and the fragment");
  return accept(url.origin + url.pathname.replace(/\/+$/, ""));
}

// Ready-made for `new URL`, which would drop white space and control characters silently.
function parseHttpUrl(given: string): URL | undefined {
  if (!/^https?:\/\/[^\s\p{Cc}/]/iu.test(given) || /[\s\p{Cc}]/u.test(given)) return undefined;
  return URL.parse(given) ?? undefined;
}

function hintAtScheme(given: string): string | undefined {
  return /^[a-z0-9.-]+(:\d+)?(\/|$)/i.test(given) ? "begin with https:// or http://" : undefined;
}

/** Where the file URLs in documents point. */
export type FileTarget =
  /** To larder's own file cache. */
  | { readonly kind: "larder" }
  /** As PyPI wrote them: the bytes stay untouched. */
  | { readonly kind: "upstream" }
  /** To the first healthy of these, in order of preference; no slash at the end. Never empty. */
  | { readonly kind: "mirrors"; readonly bases: readonly string[] };

/** `larder`, `upstream`, or the base URLs of one or more mirrors. */
export const fileTarget: Kind<FileTarget> = {
  accepts: "larder, upstream, or one or more mirrors' http or https base URLs with commas between them",
  mayHoldSecret: true,
  parse(given) {
    if (given === "larder" || given === "upstream") return accept<FileTarget>(Object.freeze({ kind: given }));
    const bases = new Set<string>();
    for (const part of splitList(given)) {
      const base = parseBaseUrl(part);
      if (!base.ok) return base;
      bases.add(base.value);
    }
    return accept<FileTarget>(Object.freeze({ kind: "mirrors", bases: Object.freeze([...bases]) }));
  },
  show: (target) => (target.kind === "mirrors" ? target.bases.join(",") : target.kind),
};

/** A Redis, a Sentinel-watched one or a Cluster: see `parseRedisUrl`. */
export const redisUrl: Kind<RedisTarget> = {
  accepts:
    "redis://host:6379/0, redis+sentinel://host:26379,host/master, redis+cluster://host:6379,host; rediss for TLS",
  mayHoldSecret: true,
  parse(given) {
    try {
      return accept(parseRedisUrl(given));
    } catch (error) {
      if (error instanceof ConfigError) return refuse(error.faults.join("; "));
      throw error;
    }
  },
  show: describeRedis,
};

/** A forward proxy's URL, perhaps with user and password. As curl does, a missing scheme is read as http. */
export const proxyUrl: Kind<string> = {
  accepts: "an http or https URL of a forward proxy, such as http://proxy.corp:3128",
  mayHoldSecret: true,
  parse(given) {
    const url = parseHttpUrl(given.includes("://") ? given : `http://${given}`);
    return url === undefined ? refuse() : accept(url.href);
  },
  show: redactUserinfo,
};

/** An address or a host name to listen on. */
export const listenHost: Kind<string> = {
  accepts: "an IP address or a host name",
  parse: (given) =>
    isIP(given) !== 0 || /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?$/i.test(given) ? accept(given) : refuse(),
  show: (value) => value,
};

/** Something that an HTTP comment in `User-Agent` can hold (RFC 9110 §5.6.5), and a person can be reached by. */
export const contact: Kind<string> = {
  accepts: "a URL or an e-mail address in printable ASCII without blanks, parentheses or backslashes",
  parse(given) {
    const isPrintable = /^[\x21-\x7e]{1,200}$/.test(given) && !/[()\\]/.test(given);
    const isReachable = /^[^@]+@[^@]+$/.test(given) || parseHttpUrl(given) !== undefined;
    return isPrintable && isReachable ? accept(given) : refuse();
  },
  show: redactUserinfo,
};

/** Extra certificate authorities. */
export interface ExtraCa {
  readonly file: string;
  /** One or more certificates, PEM. */
  readonly pem: string;
}

/** A PEM file of one or more CA certificates, read at once so that a wrong path stops the start. */
export const caFile: Kind<ExtraCa> = {
  accepts: "the path of a PEM file with one or more certificates",
  parse(given, readFile) {
    try {
      const pem = readFile(given);
      const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
      if (certificates === null) return refuse("the file holds no certificate");
      for (const certificate of certificates) new X509Certificate(certificate);
      return accept({ file: given, pem });
    } catch (error) {
      return refuse(error instanceof Error ? error.message : String(error));
    }
  },
  show: (ca) => ca.file,
};

/** The peers whose `X-Forwarded-*` fields are believed. */
export interface TrustedProxies {
  /** As configured. */
  readonly description: string;
  /**
   * @param address the peer's address as the socket tells it: IPv4, IPv6 (a zone is ignored) or IPv4-mapped IPv6;
   *   undefined (the peer has gone) is never trusted
   */
  trusts(address: string | undefined): boolean;
}

const LOOPBACK = ["127.0.0.0/8", "::1/128"];
// RFC 1918 and RFC 4193.
const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
const EVERYWHERE = ["0.0.0.0/0", "::/0"];
const NAMED_NETWORKS: ReadonlyMap<string, readonly string[]> = new Map([
  ["none", []],
  ["loopback", LOOPBACK],
  ["private", PRIVATE],
  ["all", EVERYWHERE],
]);

/** Addresses, networks in CIDR form, and names of networks, with commas between them. */
export const trustedProxies: Kind<TrustedProxies> = {
  accepts:
    "none, all, or a list of IP addresses, CIDR networks, loopback and private with commas between them",
  parse(given) {
    const trusted = new BlockList();
    const parts = splitList(given);
    if (parts.length > 1 && parts.some((part) => part === "none" || part === "all")) {
      return refuse("none and all stand alone");
    }
    for (const part of parts) {
      if (!addNetworks(trusted, NAMED_NETWORKS.get(part) ?? [part])) return refuse();
    }
    return accept<TrustedProxies>(
      Object.freeze({
        description: given,
        trusts: (address: string | undefined) => isListed(trusted, address),
      }),
    );
  },
  show: (proxies) => proxies.description,
};

function addNetworks(list: BlockList, networks: readonly string[]): boolean {
  for (const network of networks) {
    const [address = "", prefix, ...rest] = network.split("/");
    if (isIP(address) === 0 || rest.length > 0) return false;
    const bits = isIPv4(address) ? 32 : 128;
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (!(length <= bits)) return false;
    list.addSubnet(address, length, isIPv4(address) ? "ipv4" : "ipv6");
  }
  return true;
}

function isListed(list: BlockList, address: string | undefined): boolean {
  // BlockList itself passes over zones, and matches IPv4-mapped addresses (::ffff:10.0.0.1) with IPv4 networks.
  return (
    address !== undefined && isIP(address) !== 0 && list.check(address, isIPv4(address) ? "ipv4" : "ipv6")
  );
}

function splitList(given: string): string[] {
  return given.split(",").map((part) => part.trim());
}

/** A bucket of an S3-compatible service. */
export const s3Url: Kind<S3Target> = {
  accepts: S3_URL_FORM,
  mayHoldSecret: true,
  parse(given) {
    try {
      return accept(parseS3Url(given));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return refuse(error.faults.join("; "));
    }
  },
  show: describeS3,
};
