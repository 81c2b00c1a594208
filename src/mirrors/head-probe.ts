import { request, type Dispatcher } from "undici";
import type { Probe } from "./mirrors.ts";

/**
 * Probes a mirror by a `HEAD` of its base: any answer below 500 is a healthy one, because a mirror need not have
 * anything at its base, nor let everyone list it. Redirects are not followed: who redirects is alive.
 * undici ends a connection after a HEAD, so that each probe also shows that the mirror takes new ones.
 */
export function headProbe({ dispatcher, userAgent }: { dispatcher: Dispatcher; userAgent: string }): Probe {
  return async (base, signal) => {
    const { statusCode, body } = await request(`${base}/`, {
      method: "HEAD",
      dispatcher,
      signal,
      headers: { "user-agent": userAgent },
    });
    await body.dump();
    return statusCode < 500 ? { healthy: true } : { healthy: false, reason: `answered ${statusCode}` };
  };
}
