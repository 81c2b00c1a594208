import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { Agent, EnvHttpProxyAgent, Pool, type Dispatcher } from "undici";
import type { Ms } from "../clock.ts";

/** How connections leave this machine. Everything is handed over: the environment is not read here. */
export interface EgressOptions {
  /** Forward proxy for http: origins; its userinfo becomes Basic credentials. */
  readonly httpProxy?: string | undefined;
  /** Forward proxy for https: origins, by CONNECT. Without it they are reached directly, as pip and curl do. */
  readonly httpsProxy?: string | undefined;
  /** Hosts not to be proxied, comma- or space-separated; `*` for all. */
  readonly noProxy?: string | undefined;
  /** PEM certificates to be trusted besides the default roots, by the proxy's TLS and by upstream's. */
  readonly caPem?: string | undefined;
  /** For TCP and TLS together. undici's own timer: late by up to about half a second. */
  readonly connectTimeoutMs: Ms;
  /** Most connections to one origin; further requests wait for one of them. */
  readonly connections: number;
}

/** The way out: pooled connections, and new ones where a pooled one may be dead. */
export interface Egress {
  readonly pooled: Dispatcher;
  /**
   * Runs `use` on a connection that nobody has used before. It is closed behind it, after a body that is still
   * being read.
   */
  onFreshConnection<T>(use: (dispatcher: Dispatcher) => Promise<T>): Promise<T>;
  /** Breaks whatever is under way. */
  close(): Promise<void>;
}

// Longer than undici's 4 s, so that a quiet proxy does not open TLS anew for each request.
const KEEP_ALIVE_MS = 30_000;

/** Builds the way out. Opens no connection by itself. */
export function createEgress(options: EgressOptions): Egress {
  const tls = trust(options.caPem);
  const open = new Set<Route>();
  const openRoute = (connections: number): Route => {
    const route = createRoute({ ...options, connections }, tls);
    open.add(route);
    return route;
  };
  return {
    pooled: openRoute(options.connections).dispatcher,
    onFreshConnection: async (use) => {
      const route = openRoute(1);
      try {
        return await use(route.dispatcher);
      } finally {
        void closeRoute(route).then(() => open.delete(route));
      }
    },
    close: async () => {
      const dispatchers = [...open].flatMap((route) => route.owned);
      await Promise.all(dispatchers.map((dispatcher) => dispatcher.destroy()));
    },
  };
}

/** What TLS trusts; empty for Node's own default roots. */
interface Trust {
  readonly secureContext?: SecureContext;
}

/** A dispatcher, and all those behind it that are to be closed with it. */
interface Route {
  readonly dispatcher: Dispatcher;
  readonly owned: readonly Dispatcher[];
}

async function closeRoute(route: Route): Promise<void> {
  // One that was destroyed meanwhile, at the end of the process, is closed already.
  await Promise.allSettled(route.owned.map((dispatcher) => dispatcher.close()));
}

/** One secure context for all connections: parsing some 150 root certificates for each would cost milliseconds. */
function trust(caPem: string | undefined): Trust {
  if (caPem === undefined) return {};
  return { secureContext: createSecureContext({ ca: [...getCACertificates("default"), caPem] }) };
}

function createRoute(options: EgressOptions, tls: Trust): Route {
  const shared = agentOptions(options, tls);
  const { httpProxy, httpsProxy, noProxy } = options;
  if (httpProxy === undefined && httpsProxy === undefined) {
    const agent = new Agent(shared);
    return { dispatcher: agent, owned: [agent] };
  }
  const proxied = new EnvHttpProxyAgent({
    ...shared,
    // undici asks the environment where these are undefined; "" is "none".
    httpProxy: httpProxy ?? "",
    httpsProxy: httpsProxy ?? "",
    noProxy: noProxy ?? "",
  });
  if (httpsProxy !== undefined) return { dispatcher: proxied, owned: [proxied] };
  const direct = new Agent(shared);
  return { dispatcher: withDirectHttps(proxied, direct), owned: [proxied, direct] };
}

// undici sends https: through the http: proxy where only that one is set.
function withDirectHttps(proxied: Dispatcher, direct: Dispatcher): Dispatcher {
  return proxied.compose(
    (dispatch) => (request, handler) =>
      String(request.origin).startsWith("https:")
        ? direct.dispatch(request, handler)
        : dispatch(request, handler),
  );
}

function agentOptions(options: EgressOptions, tls: Trust) {
  const { connectTimeoutMs, connections } = options;
  // HTTP/1.1 only: a slow or broken connection then costs one request.
  const connect = { ...tls, allowH2: false, timeout: connectTimeoutMs };
  const pool = { connections, allowH2: false, keepAliveTimeout: KEEP_ALIVE_MS };
  return {
    connect,
    requestTls: connect,
    proxyTls: connect,
    // Without these undici bounds its connections to a forward proxy neither in number nor in time: a proxy that
    // takes a CONNECT and never answers would hold each for five minutes.
    factory: (origin: string | URL, given: object) => new Pool(origin, { ...given, ...pool }),
    clientFactory: (origin: URL, given: object) =>
      new Pool(origin, { ...given, headersTimeout: connectTimeoutMs }),
  };
}
