import { BoundedMap } from "../bounded-map.ts";
import type { Exchange, Serve } from "./exchange.ts";
import { hasForwardedFields, type PublicBaseOptions } from "./public-base.ts";
import type { FilesTarget } from "./url-bases.ts";

/** What a request came to, when it was read for the first time. */
interface Shortcut {
  /** The target as the routes had it: cleaned. */
  readonly url: string;
  readonly serve: Serve;
}

interface ShortcutsOptions {
  readonly filesTarget: FilesTarget;
  readonly publicBase: PublicBaseOptions;
  /** Answering a request threw: has the last word on it. */
  readonly onError: (exchange: Exchange, error: unknown) => void;
}

// What is longer is no installer's, and shall not take memory.
const MOST_KEY_CHARACTERS = 2_048;

// Some 1 kB each. What is beyond is read again, which costs a few microseconds.
const MOST_SHORTCUTS = 8_192;

/**
 * The way from a request to who answers it, remembered. Reading the target, routing and negotiating cost as much as all
 * the rest of a hit, and come to the same for the same request. Nothing of an answer is remembered: whether what is held is
 * fresh, which body it has and what its fields say is decided for each request as ever.
 */
export class Shortcuts {
  readonly #options: ShortcutsOptions;
  readonly #known = new BoundedMap<string, Shortcut>(MOST_SHORTCUTS);

  constructor(options: ShortcutsOptions) {
    this.#options = options;
  }

  /** Answers a request that has been read before. @returns whether it was one */
  take(exchange: Exchange): boolean {
    const { incoming, outgoing } = exchange;
    outgoing.shortcutKey = this.#keyOf(exchange);
    const shortcut = outgoing.shortcutKey && this.#known.get(outgoing.shortcutKey);
    if (!shortcut) return false;
    incoming.url = shortcut.url;
    try {
      const { serve } = shortcut;
      const ready = serve.ready(exchange);
      if (ready !== undefined) outgoing.repeatable = serve;
      const served = ready ?? serve.later(exchange);
      if (served instanceof Promise) served.catch((error: unknown) => this.#options.onError(exchange, error));
    } catch (error) {
      this.#options.onError(exchange, error);
    }
    return true;
  }

  /**
   * Everything that a request's target, routing, negotiation and file URLs are read from. Two requests with equal keys
   * come to the same.
   *
   * @returns undefined where the connection has a say, too (HTTP/1.0 without a Host), and for what is too long
   */
  #keyOf({ incoming }: Exchange): string | undefined {
    const { headers, method, url } = incoming;
    const { host, accept = NONE } = headers;
    if (host === undefined) return undefined;
    const { filesTarget, publicBase } = this.#options;
    let key = `${method ?? ""} ${url ?? ""}\n${host}\n${accept}\n${headers["accept-encoding"] ?? NONE}`;
    if (filesTarget.kind === "mirror") key += `\n${filesTarget.current() ?? NONE}`;
    if (hasForwardedFields(incoming) && publicBase.isTrustedPeer(incoming.socket.remoteAddress ?? "")) {
      const { "x-forwarded-proto": proto, "x-forwarded-host": by, "x-forwarded-prefix": under } = headers;
      key += `\n${JSON.stringify([proto, by, under])}`;
    }
    return key.length > MOST_KEY_CHARACTERS ? undefined : key;
  }

  /** Answers a request, and remembers how, where memory could: what has to be waited for is not made quicker. */
  serve(exchange: Exchange, serve: Serve): Response | Promise<Response> {
    const served = serve.ready(exchange);
    if (served === undefined) return serve.later(exchange);
    const { incoming, outgoing } = exchange;
    if (outgoing.shortcutKey === undefined) return served;
    outgoing.repeatable = serve;
    this.#known.set(outgoing.shortcutKey, { url: incoming.url ?? "/", serve });
    return served;
  }
}

// In no field: these have no control characters but a tab.
const NONE = "\r";
