import { isUpstreamFailure, type UpstreamFailure, UpstreamUnavailable } from "../errors.ts";

/**
 * What the holder of a lease says of how his forward went, to those who waited: whether the answer is in the store now,
 * that he leaves it to them, or why upstream gave none.
 */
export type Told = "stored" | "unstored" | "left" | UpstreamUnavailable;

// Of this node alone: another may well get an answer.
const OWN_FAILURES: ReadonlySet<UpstreamFailure> = new Set(["offline", "stopping"]);

/** The word for it, as `Lease.release` takes it. */
export function wordOf(told: Told): string {
  if (!(told instanceof UpstreamUnavailable)) return told;
  const { failure, message, status, retryAfterMs } = told;
  if (OWN_FAILURES.has(failure)) return "left";
  return JSON.stringify({ failure, message, status, retryAfterMs });
}

/** Reads such a word. What another version of larder may have said counts as "unstored": ask for yourself. */
export function readWord(word: string): Told {
  if (word === "stored" || word === "unstored" || word === "left") return word;
  const { failure, message, status, retryAfterMs } = parseObject(word);
  if (!isUpstreamFailure(failure)) return "unstored";
  return new UpstreamUnavailable(failure, typeof message === "string" ? message : failure, {
    status: numberOf(status),
    retryAfterMs: numberOf(retryAfterMs),
  });
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {}; // no word of ours
  }
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
