import type { IncomingMessage } from "node:http";

export interface PublicBaseOptions {
  /** `LARDER_PUBLIC_URL` without a slash at the end; undefined to go by the request. */
  readonly publicUrl: string | undefined;
  /** Whether the peer with this address may say `X-Forwarded-*`. */
  readonly isTrustedPeer: (address: string) => boolean;
}

// A host is used in answers, so only what can be one is taken: name or address, and a port.
// Underscores are in no DNS host name, but in many a container's.
const HOST = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?\.?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i;
const PREFIX = /^(?:\/[a-z0-9._~-]+)*\/?$/i;

/**
 * The base URL that a client reaches larder by, without a slash at the end: the configured one, else what the request
 * says, `X-Forwarded-*` only from peers that are trusted.
 */
export function publicBase(request: IncomingMessage, options: PublicBaseOptions): string {
  if (options.publicUrl !== undefined) return options.publicUrl;
  const forwarded = hasForwardedFields(request) && options.isTrustedPeer(request.socket.remoteAddress ?? "");
  const scheme = (forwarded && firstOf(request.headers["x-forwarded-proto"])) === "https" ? "https" : "http";
  const host = (forwarded && hostIn(request.headers["x-forwarded-host"])) || hostIn(request.headers.host);
  return `${scheme}://${host ?? localHost(request)}${forwarded ? prefixIn(request.headers["x-forwarded-prefix"]) : ""}`;
}

/** The path prefix of the public URL: "" or "/some/path". */
export function publicPrefix(publicUrl: string | undefined): string {
  if (publicUrl === undefined) return "";
  const { pathname } = new URL(publicUrl);
  return pathname === "/" ? "" : pathname.replace(/\/$/, "");
}

/** The path prefix that a redirect must stay inside of. */
export function requestPrefix(request: IncomingMessage, options: PublicBaseOptions): string {
  if (options.publicUrl !== undefined) return publicPrefix(options.publicUrl);
  const trusted = options.isTrustedPeer(request.socket.remoteAddress ?? "");
  return trusted ? prefixIn(request.headers["x-forwarded-prefix"]) : "";
}

/** Whether the request says anything that only a trusted peer may say. */
export function hasForwardedFields({ headers }: IncomingMessage): boolean {
  return (
    headers["x-forwarded-host"] !== undefined ||
    headers["x-forwarded-proto"] !== undefined ||
    headers["x-forwarded-prefix"] !== undefined
  );
}

/** Whether a Host header names a host (RFC 9110 §7.2). None at all is HTTP/1.0, which may. */
export function isHost(host: string | undefined): boolean {
  return host === undefined || mayBeHost(host);
}

/** What looks like one may still be none: 999.1.1.1, port 99999. */
function mayBeHost(text: string): boolean {
  return HOST.test(text) && URL.canParse(`http://${text}`);
}

function firstOf(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value[0] : value;
  return text?.split(",", 1)[0]?.trim().toLowerCase();
}

function hostIn(value: string | string[] | undefined): string | undefined {
  const host = firstOf(value);
  return host !== undefined && mayBeHost(host) ? host : undefined;
}

function prefixIn(value: string | string[] | undefined): string {
  const prefix = (Array.isArray(value) ? value[0] : value)?.split(",", 1)[0]?.trim() ?? "";
  return PREFIX.test(prefix) ? prefix.replace(/\/$/, "") : "";
}

/** The address that the request came in by: for HTTP/1.0 without Host, or a Host that is none. */
function localHost(request: IncomingMessage): string {
  const { localAddress = "127.0.0.1", localPort = 80 } = request.socket;
  return `${localAddress.includes(":") ? `[${localAddress}]` : localAddress}:${localPort}`;
}
