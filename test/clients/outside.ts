import { type ForwardProxy, startForwardProxy } from "../support/forward-proxy.ts";

// Every client is told that the way out leads through this proxy, and that larder's address needs none. So whoever asks
// somebody else than larder is seen, and gets nowhere.

const DISCARD_PORT = 9; // nobody listens there

let proxy: ForwardProxy | undefined;
let told = 0;

/** Starts to watch the way out, for all clients of this file. */
export async function watchOutside(): Promise<void> {
  proxy ??= await startForwardProxy({ tunnelTo: DISCARD_PORT });
}

/** The environment of a client that goes out only where it is seen. */
export function seenOutside(): Readonly<Record<string, string>> {
  const url = proxy?.url ?? "";
  return { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: "127.0.0.1" };
}

/** What was asked of others than larder since this was last called. */
export function takeAskedOutside(): readonly string[] {
  const fresh = proxy?.requests.slice(told) ?? [];
  told += fresh.length;
  return fresh;
}

export async function closeOutside(): Promise<void> {
  await proxy?.close();
  proxy = undefined;
  told = 0;
}
