import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { notServedRoutes } from "./not-served.ts";
import { type Bindings, type Exchange, exchangeOf } from "./exchange.ts";
import { type FilesRoutesOptions, filesRoutes } from "./files.ts";
import { type IndexPageOptions, indexPage } from "./index-page.ts";
import { type JsonRoutesOptions, jsonRoutes } from "./json.ts";
import { type OpsRoutesOptions, opsRoutes } from "./ops.ts";
import { passThroughRoutes } from "./pass-through.ts";
import { type PurgeOptions, purgeRoutes } from "./purge.ts";
import { rootRoutes } from "./root.ts";
import { sendText } from "./send.ts";
import type { Shortcuts } from "./shortcuts.ts";
import { type SimpleRoutesOptions, simpleRoutes } from "./simple.ts";

export interface AppOptions
  extends SimpleRoutesOptions, FilesRoutesOptions, JsonRoutesOptions, OpsRoutesOptions, IndexPageOptions {
  /** A fault of larder's own: the client gets a 500 without its trace, the operator all of it. */
  readonly onFault: (error: unknown) => void;
  /** Undefined where nobody may purge. */
  readonly purge?: PurgeOptions | undefined;
  readonly shortcuts: Shortcuts;
}

/** Every route there is. */
export function createApp(options: AppOptions): Hono<{ Bindings: Bindings }> {
  const app = new Hono<{ Bindings: Bindings }>();
  rootRoutes(app, options);
  simpleRoutes(app, options);
  filesRoutes(app, options);
  passThroughRoutes(app, options);
  opsRoutes(app, options);
  indexPage(app, options);
  jsonRoutes(app, options);
  purgeRoutes(app, options.purge);
  // Last of all: a project may be called as one of PyPI's pages is.
  notServedRoutes(app, options);
  app.notFound((context) => sendText(exchangeOf(context), "none", 404, "404 Not Found\n"));
  app.onError((error, context) => sendFault(exchangeOf(context), error, options));
  return app;
}

/** The end of a request whose answering threw. */
export function sendFault(
  exchange: Exchange,
  error: unknown,
  { onFault }: Pick<AppOptions, "onFault">,
): Response {
  onFault(error);
  if (exchange.outgoing.headersSent) {
    exchange.outgoing.destroy();
    return RESPONSE_ALREADY_SENT;
  }
  return sendText(exchange, "fault", 500, "500 Internal Server Error\n", ["Cache-Control", "no-store"]);
}
