/** What goes over the line between the primary and a worker, as JSON. */
export type Message =
  | { readonly is: "call"; readonly id: number; readonly op: string; readonly payload: unknown }
  | { readonly is: "answer"; readonly id: number; readonly value?: unknown }
  | { readonly is: "fault"; readonly id: number; readonly reason: string }
  /** `from`: who said it, where it is passed on. */
  | { readonly is: "tell"; readonly op: string; readonly payload: unknown; readonly from: number }
  /** To be told to all other workers. */
  | { readonly is: "relay"; readonly op: string; readonly payload: unknown };

const KINDS: ReadonlySet<unknown> = new Set<Message["is"]>(["call", "answer", "fault", "tell", "relay"]);

/** Anything else may come over the same pipe: whoever starts a process may write to it. */
export function decodeMessage(given: unknown): Message | undefined {
  if (typeof given !== "object" || given === null || !("is" in given) || !KINDS.has(given.is))
    return undefined;
  return given as Message;
}
