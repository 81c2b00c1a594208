import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { BoundedMap } from "../bounded-map.ts";
import type { Exchange, RequestHead, Serve } from "./exchange.ts";
import type { FilesTarget } from "./url-bases.ts";
import { hasForwardedFields } from "./public-base.ts";

/** A request that came before in the same bytes: what was read from them, as far as its answer, log and metrics need it. */
export interface Repeat {
  readonly incoming: RequestHead;
  readonly serve: Serve;
  /** Where files were when it was read, if they move. */
  readonly mirror: string | undefined;
  /** Whether it says what only some peers may say: then what was read holds for peers that may say it as this one might. */
  readonly isOfTrustedPeer: boolean | undefined;
}

export interface RepeatsOptions {
  readonly filesTarget: FilesTarget;
  /** Whether the peer with this address may say `X-Forwarded-*`. */
  readonly isTrustedPeer: (address: string) => boolean;
}

// A head that is longer is no package installer's.
const MOST_HEAD_BYTES = 2_048;

// Some 1.5 kB each. What is beyond is read again, which costs as much as all the rest of a hit.
const MOST_REPEATS = 4_096;

/** Whatever else is asked of an answer: conditions, and who asks. */
const FIELDS = [
  "if-none-match",
  "if-modified-since",
  "if-range",
  "range",
  "cache-control",
  "pragma",
  "user-agent",
] as const;

/**
 * Requests by their bytes, from the request line to the empty line. Clients say the same thing again and again, to the byte:
 * what `node:http` has read once, it need not read a second time. Nothing of an answer is remembered, as with Shortcuts.
 */
export class Repeats {
  readonly #options: RepeatsOptions;
  readonly #known = new BoundedMap<string, Repeat>(MOST_REPEATS);

  constructor(options: RepeatsOptions) {
    this.#options = options;
  }

  /** The request that these bytes were before, if it would be read in the same way now. */
  find(bytes: Buffer, peer: Pick<Socket, "remoteAddress">): Repeat | undefined {
    if (bytes.length > MOST_HEAD_BYTES) return undefined;
    const repeat = this.#known.get(bytes.toString("latin1"));
    if (repeat === undefined || repeat.mirror !== this.#mirror()) return undefined;
    const { isOfTrustedPeer } = repeat;
    return isOfTrustedPeer === undefined || isOfTrustedPeer === this.#isTrusted(peer) ? repeat : undefined;
  }

  /** Remembers what a request was, of which these are all the bytes. */
  remember(bytes: Buffer, { incoming }: Exchange, serve: Serve): void {
    if (bytes.length > MOST_HEAD_BYTES || !isPlain(incoming)) return;
    const { method, url, headers } = incoming;
    const told: Record<string, string | string[] | undefined> = {};
    for (const name of FIELDS) told[name] = headers[name];
    this.#known.set(bytes.toString("latin1"), {
      incoming: { method, url, headers: told },
      serve,
      mirror: this.#mirror(),
      isOfTrustedPeer: hasForwardedFields(incoming) ? this.#isTrusted(incoming.socket) : undefined,
    });
  }

  #isTrusted({ remoteAddress = "" }: Pick<Socket, "remoteAddress">): boolean {
    return this.#options.isTrustedPeer(remoteAddress);
  }

  #mirror(): string | undefined {
    const { filesTarget } = this.#options;
    return filesTarget.kind === "mirror" ? filesTarget.current() : undefined;
  }
}

/** A read in HTTP/1.1 after which the connection goes on, and that has no body. */
function isPlain({ method, httpVersion, headers }: IncomingMessage): boolean {
  return (
    (method === "GET" || method === "HEAD") &&
    httpVersion === "1.1" &&
    (headers.connection === undefined || headers.connection.toLowerCase() === "keep-alive") &&
    endsWithHead(headers) &&
    headers.expect === undefined
  );
}

/** Whether a request has no body (RFC 9112 §6.3), and what follows it is another one. */
export function endsWithHead(headers: IncomingMessage["headers"]): boolean {
  return (
    headers["content-length"] === undefined &&
    headers["transfer-encoding"] === undefined &&
    headers.upgrade === undefined
  );
}
