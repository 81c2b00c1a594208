import type { Hono } from "hono";
import { StoreUnavailable } from "../errors.ts";
import { normalizeProject } from "../pypi/names.ts";
import { type Bindings, type Exchange, exchangeOf } from "./exchange.ts";
import { sendText } from "./send.ts";

export interface PurgeOptions {
  /** Whether the peer with this address may purge. */
  readonly isAllowed: (address: string) => boolean;
  /**
   * Forgets all that is held of a project, on every node.
   * @throws StoreUnavailable when that was not, or may not have been, done
   */
  readonly purge: (project: string) => Promise<void>;
}

const PATHS = [
  "/simple/:project",
  "/simple/:project/",
  "/pypi/:project/json",
  "/pypi/:project/:version/json",
];
const ROUTE = "purge";
const NO_STORE = ["Cache-Control", "no-store"];

/**
 * `PURGE` of any page of a project: the method that nginx' and Varnish's users know for it. Absent, where nobody may.
 * It is of the project as a whole, since its documents are of one record.
 */
export function purgeRoutes(app: Hono<{ Bindings: Bindings }>, options: PurgeOptions | undefined): void {
  if (options === undefined) return;
  for (const path of PATHS) {
    app.on("PURGE", path, async (context) => {
      const exchange = exchangeOf(context);
      const project = normalizeProject(context.req.param("project") ?? "");
      if (project === undefined) return sendText(exchange, ROUTE, 404, "404 Not Found\n", NO_STORE);
      return await purge(exchange, project, options);
    });
  }
}

async function purge(exchange: Exchange, project: string, options: PurgeOptions): Promise<Response> {
  if (!options.isAllowed(exchange.incoming.socket.remoteAddress ?? "")) {
    return sendText(exchange, ROUTE, 403, "403 Forbidden: this address may not purge\n", NO_STORE);
  }
  try {
    await options.purge(project);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const text = `503 Service Unavailable: ${project} may not have been purged: ${error.message}\n`;
    return sendText(exchange, ROUTE, 503, text, NO_STORE);
  }
  return sendText(exchange, ROUTE, 200, `purged ${project}\n`, NO_STORE);
}
