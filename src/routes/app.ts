import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { type Bindings, exchangeOf } from "./exchange.ts";
import { type IndexPageOptions, indexPage } from "./index-page.ts";
import { type JsonRoutesOptions, jsonRoutes } from "./json.ts";
import { type OpsRoutesOptions, opsRoutes } from "./ops.ts";
import { sendText } from "./send.ts";

export interface AppOptions extends JsonRoutesOptions, OpsRoutesOptions, IndexPageOptions {
  /** A fault of larder's own: the client gets a 500 without its trace, the operator all of it. */
  readonly onFault: (error: unknown) => void;
}

/** Every route there is. */
export function createApp(options: AppOptions): Hono<{ Bindings: Bindings }> {
  const app = new Hono<{ Bindings: Bindings }>();
  jsonRoutes(app, options);
  opsRoutes(app, options);
  indexPage(app, options);
  app.notFound((context) => sendText(exchangeOf(context), "none", 404, "404 Not Found\n"));
  app.onError((error, context) => {
    options.onFault(error);
    const exchange = exchangeOf(context);
    if (exchange.outgoing.headersSent) {
      exchange.outgoing.destroy();
      return RESPONSE_ALREADY_SENT;
    }
    return sendText(exchange, "fault", 500, "500 Internal Server Error\n", ["Cache-Control", "no-store"]);
  });
  return app;
}
