import type { EpochMs, Ms } from "../clock.ts";
import type { Coding, Entry, Head } from "../store/store.ts";
import { isNegative } from "./freshness.ts";

/** What upstream said, in the cache's own words. A failure to say anything is thrown instead. */
export type Loaded =
  | {
      readonly kind: "response";
      /** The generation that it says it is of; undefined where upstream tells none. */
      readonly generation: number | undefined;
      /** As of when it is upstream's answer: the request's instant, less upstream's own Age. */
      readonly confirmedAt: EpochMs;
      readonly etag: string | undefined;
      readonly date: string;
      readonly contentType: string;
      readonly coding: Coding;
      readonly digest: string;
      readonly body: Buffer;
      /** The name that the response itself goes by, where it is not the one asked for. */
      readonly ownName: string | undefined;
    }
  | { readonly kind: "not-modified"; readonly confirmedAt: EpochMs; readonly date: string }
  | {
      readonly kind: "negative";
      readonly status: 404 | 410;
      readonly confirmedAt: EpochMs;
      readonly date: string;
      /** The whole group is gone with it. */
      readonly endsGroup: boolean;
    };

/** What an answer does to what is held. */
export interface Settled {
  readonly head: Head;
  /** To be stored; undefined where what is held stays as it is. */
  readonly entry: Entry | undefined;
  readonly body: Buffer | undefined;
  /** A name that leads to the entry. */
  readonly alias: Entry | undefined;
  /**
   * - `kept`: an older generation than the one held: not believed yet, what is held stays
   * - `lowered`: upstream insisted for so long that its lower generation is the truth now
   */
  readonly surprise: "kept" | "lowered" | undefined;
}

/** Where the answer came from: who asked, what was held, and when it arrived. */
export interface Context {
  readonly group: string;
  readonly name: string;
  readonly head: Head | undefined;
  readonly held: Entry | undefined;
  readonly now: EpochMs;
  /** How long upstream must keep answering with a lower generation until it is believed. */
  readonly lowerAfterMs: Ms;
  /** Fencing token of the lease under which upstream was asked. */
  readonly fence: number;
}

/** A group of which nothing is known yet. */
export const NO_HEAD: Head = {
  generation: 0,
  advancedAt: 0,
  confirmedAt: 0,
  invalidatedAt: 0,
  lowerSince: 0,
};

type Response = Extract<Loaded, { kind: "response" }>;

/**
 * Decides what an answer of upstream means for the entries of its group. Pure.
 *
 * A newer generation supersedes every older entry. An equal one replaces by its own body (equal serial is not equal
 * body: facts/pypi.md §10.3). A lower one never replaces what is held silently, since another CDN node may lag, nor
 * is it refused for ever, since an upstream may have been restored or exchanged. A 404 is the truth at once.
 */
export function settle(loaded: Loaded, context: Context): Settled {
  switch (loaded.kind) {
    case "negative":
      return settleNegative(loaded, context);
    case "not-modified":
      return settleNotModified(loaded, context);
    case "response":
      return settleResponse(loaded, context);
  }
}

function settleResponse(loaded: Response, context: Context): Settled {
  const head = context.head ?? NO_HEAD;
  const generation = loaded.generation ?? head.generation;
  if (generation >= head.generation) {
    return accepted(loaded, context, generation, confirmed(head, generation, loaded.confirmedAt), undefined);
  }
  if (isBelievedLower(head, context)) {
    const lowered: Head = {
      ...NO_HEAD,
      generation,
      advancedAt: loaded.confirmedAt,
      confirmedAt: loaded.confirmedAt,
    };
    return accepted(loaded, context, generation, lowered, "lowered");
  }
  const lagging = { ...head, lowerSince: head.lowerSince || context.now };
  const { held } = context;
  if (held !== undefined && !isNegative(held) && held.generation > generation) {
    return { head: lagging, entry: undefined, body: undefined, alias: undefined, surprise: "kept" };
  }
  // Nothing better is held: what upstream has is served, and asked for again soon (freshness.ts, lagging).
  return accepted(loaded, context, generation, lagging, undefined);
}

function settleNotModified(loaded: Extract<Loaded, { kind: "not-modified" }>, context: Context): Settled {
  const { held } = context;
  if (held === undefined) throw new Error("a 304 without a stored response to confirm");
  const head = context.head ?? NO_HEAD;
  const { confirmedAt, date } = loaded;
  const entry = { ...held, confirmedAt, date, fence: context.fence };
  const settled = { entry, body: undefined, alias: undefined };
  // A 304 need not carry a serial (trap 8): it says that the bytes held are current, and they have theirs.
  if (held.generation >= head.generation) {
    return { ...settled, head: confirmed(head, held.generation, loaded.confirmedAt), surprise: undefined };
  }
  if (isBelievedLower(head, context)) {
    const lowered = { ...NO_HEAD, generation: held.generation, advancedAt: loaded.confirmedAt };
    return { ...settled, head: { ...lowered, confirmedAt: loaded.confirmedAt }, surprise: "lowered" };
  }
  return { ...settled, head: { ...head, lowerSince: head.lowerSince || context.now }, surprise: undefined };
}

function settleNegative(loaded: Extract<Loaded, { kind: "negative" }>, context: Context): Settled {
  const head = context.head ?? NO_HEAD;
  const entry: Entry = {
    group: context.group,
    name: context.name,
    // A 404 carries no serial: it is as new as what is known.
    generation: head.generation,
    status: loaded.status,
    fetchedAt: loaded.confirmedAt,
    confirmedAt: loaded.confirmedAt,
    etag: undefined,
    date: loaded.date,
    contentType: "",
    coding: "identity",
    digest: "",
    bytes: 0,
    aliasOf: undefined,
    fence: context.fence,
  };
  const invalidatedAt = loaded.endsGroup ? loaded.confirmedAt : head.invalidatedAt;
  return { head: { ...head, invalidatedAt }, entry, body: undefined, alias: undefined, surprise: undefined };
}

function accepted(
  loaded: Response,
  context: Context,
  generation: number,
  head: Head,
  surprise: Settled["surprise"],
): Settled {
  // Without generations nothing would end an alias when a release of its own takes the name.
  const ownName = generation > 0 ? loaded.ownName : undefined;
  const entry: Entry = {
    group: context.group,
    name: ownName ?? context.name,
    generation,
    status: 200,
    fetchedAt: context.now,
    confirmedAt: loaded.confirmedAt,
    etag: loaded.etag,
    date: loaded.date,
    contentType: loaded.contentType,
    coding: loaded.coding,
    digest: loaded.digest,
    bytes: loaded.body.length,
    aliasOf: undefined,
    fence: context.fence,
  };
  const alias =
    ownName === undefined || ownName === context.name
      ? undefined
      : { ...entry, name: context.name, etag: undefined, digest: "", bytes: 0, aliasOf: entry.name };
  return { head, entry, body: loaded.body, alias, surprise };
}

/** The head after an answer of this generation, which is not lower than the one known. */
function confirmed(head: Head, generation: number, at: EpochMs): Head {
  return {
    generation,
    advancedAt: generation > head.generation ? at : head.advancedAt,
    confirmedAt: Math.max(head.confirmedAt, at),
    // The group was said to be gone and is back: that 404 is to be asked again. With generations, a newer one says so;
    // an equal one may be of a project that has pages but no document (facts/pypi.md, trap 12).
    invalidatedAt:
      generation === 0 && head.invalidatedAt > head.confirmedAt
        ? Math.max(head.invalidatedAt, at)
        : head.invalidatedAt,
    lowerSince: 0,
  };
}

function isBelievedLower(head: Head, context: Context): boolean {
  return head.lowerSince > 0 && context.now - head.lowerSince >= context.lowerAfterMs;
}
