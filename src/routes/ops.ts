import type { Hono } from "hono";
import { LOCAL } from "../cache/cache-status.ts";
import { type Bindings, exchangeOf, SAFE_METHODS } from "./exchange.ts";
import { send, sendText } from "./send.ts";

/** What /readyz tells, beyond ready or not. JSON. */
export interface Readiness {
  readonly ready: boolean;
  readonly [part: string]: unknown;
}

export interface OpsRoutesOptions {
  /** Never depends on upstream being up: larder is for the time when it is not. */
  readonly readiness: () => Readiness;
  /** Prometheus text and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** For the operator: alive, ready, measured. */
export function opsRoutes(app: Hono<{ Bindings: Bindings }>, options: OpsRoutesOptions): void {
  app.on(SAFE_METHODS, "/healthz", (context) =>
    sendText(exchangeOf(context), "healthz", 200, "ok\n", NO_STORE),
  );
  app.on(SAFE_METHODS, "/readyz", (context) => {
    const readiness = options.readiness();
    return send(exchangeOf(context), "readyz", {
      status: readiness.ready ? 200 : 503,
      fields: ["Content-Type", "application/json", ...NO_STORE],
      body: Buffer.from(`${JSON.stringify(readiness, undefined, 2)}\n`),
      cacheStatus: LOCAL,
    });
  });
  app.on(SAFE_METHODS, "/metrics", async (context) => {
    const { contentType, text } = await options.metrics();
    return send(exchangeOf(context), "metrics", {
      status: 200,
      fields: ["Content-Type", contentType, ...NO_STORE],
      body: Buffer.from(text),
      cacheStatus: LOCAL,
    });
  });
}

const NO_STORE = ["Cache-Control", "no-store"];
