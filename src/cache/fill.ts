import type { Clock, Ms } from "../clock.ts";
import { isFenced } from "../store/change-rules.ts";
import type { Entry, Head, Written } from "../store/store.ts";
import type { HeldWithHead } from "./memory.ts";
import { type Loaded, type Settled, settle } from "./settle.ts";
import type { Tiers } from "./tiers.ts";

/** Something upstream has: where its entry is filed, and how to ask for it. */
export interface Resource {
  readonly group: string;
  readonly name: string;
  /** Its own freshness lifetime, where it is not the general one. */
  readonly freshMs?: Ms;
  /**
   * Asks upstream; with `held`, whether that is still current.
   * @throws UpstreamUnavailable when upstream could not be asked or did not make sense
   */
  load(held: Entry | undefined): Promise<Loaded>;
}

/** What a resource is called among all. No group has a space in it. */
export function keyOf({ group, name }: Pick<Resource, "group" | "name">): string {
  return `${group} ${name}`;
}

/** What a forward brought. */
export interface Filled extends HeldWithHead {
  /** Upstream's status, 304 included; undefined where another node asked. */
  readonly fwdStatus: number | undefined;
  readonly stored: boolean;
  /** Upstream's answer was of a lower generation than what is held, which stays. */
  readonly isKept: boolean;
  /** Another node asked, and this is what he stored (RFC 9211 §2.7, collapsed). */
  readonly isFollowed: boolean;
  /** Others that hold something of the group should look at the store again: more than a confirmation came of it. */
  readonly isChanged: boolean;
}

/** Told that upstream answered with a lower generation than the one known. */
export type OnLowerGeneration = (
  key: string,
  known: number,
  answered: number | undefined,
  outcome: "kept" | "lowered",
) => void;

export interface FillOptions {
  readonly tiers: Tiers;
  readonly clock: Clock;
  /** How long upstream must keep answering with a lower generation until it is believed. */
  readonly lowerAfterMs: Ms;
  readonly onLowerGeneration: OnLowerGeneration;
  /** Of the lease under which upstream is asked: see `Lease.token`. */
  readonly token: number;
}

/** What a fill needs where nobody else asks for the same. */
export type FillAloneOptions = Omit<FillOptions, "token">;

/** One forward without a lease: its token is the present instant, as that of a lease would be. */
export function fillAlone(
  resource: Resource,
  found: HeldWithHead | undefined,
  options: FillAloneOptions,
): Promise<Filled> {
  return fill(resource, found, { ...options, token: options.clock.now() * 1_000 });
}

// Someone else's newer answer may come in between reading and writing; more than a few times in a row is no race.
const MAX_WRITE_TRIES = 4;

/**
 * One forward: asks upstream, decides what its answer means for the group, and stores that.
 * @throws UpstreamUnavailable as `Resource.load` does
 */
export async function fill(
  resource: Resource,
  found: HeldWithHead | undefined,
  options: FillOptions,
): Promise<Filled> {
  const { tiers, clock, lowerAfterMs } = options;
  const { group, name } = resource;
  // Greater than what is known to be stored, even where the clock was set back since.
  const fence = Math.max(options.token, (found?.held.entry.fence ?? 0) + 1);
  const loaded = await resource.load(found?.held.entry);
  let held = found;
  // Other resources of the group may have been answered since this one was asked for.
  let known = (await tiers.head(group, name)) ?? found?.head;
  for (let tries = 1; ; tries++) {
    const context = {
      group,
      name,
      head: known,
      held: held?.held.entry,
      now: clock.now(),
      lowerAfterMs,
      fence,
    };
    const settled = settle(loaded, context);
    const written = await write(tiers, group, known, settled);
    if (written !== "refused" || tries === MAX_WRITE_TRIES) {
      tellOfSurprise(resource, known, loaded, settled, options.onLowerGeneration);
      return take(tiers, held, loaded, settled, written === "written");
    }
    const newer = await tiers.reread(group, name);
    // A 304 confirms the bytes that were asked about, and no others that somebody has stored since.
    if (loaded.kind === "not-modified" && newer.found && !isSameBody(newer.found, found)) {
      return { ...newer.found, ...NOTHING_STORED, fwdStatus: 304 };
    }
    if (settled.entry !== undefined && newer.found && isFenced(newer.found.held.entry, settled.entry)) {
      return { ...newer.found, ...NOTHING_STORED, fwdStatus: fwdStatusOf(loaded) };
    }
    known = newer.head;
    held = newer.found ?? held;
  }
}

/** Of a forward that changed nothing. */
export const NOTHING_STORED = { stored: false, isKept: false, isFollowed: false, isChanged: false } as const;

function fwdStatusOf(loaded: Loaded): number {
  if (loaded.kind === "negative") return loaded.status;
  return loaded.kind === "response" ? 200 : 304;
}

function isSameBody(one: HeldWithHead, other: HeldWithHead | undefined): boolean {
  return one.held.entry.digest === other?.held.entry.digest;
}

async function write(
  tiers: Tiers,
  group: string,
  known: Head | undefined,
  settled: Settled,
): Promise<Written> {
  const { head, entry, body, alias } = settled;
  const basis = known?.generation ?? 0;
  const written = await tiers.write({ group, head, basis, ...(entry && { entry }), ...(body && { body }) });
  if (written === "written" && alias !== undefined) {
    await tiers.write({ group, head, basis: head.generation, entry: alias });
  }
  return written;
}

function take(
  tiers: Tiers,
  found: HeldWithHead | undefined,
  loaded: Loaded,
  settled: Settled,
  written: boolean,
): Filled {
  const { head, entry, body, alias } = settled;
  const fwdStatus = fwdStatusOf(loaded);
  if (entry === undefined) {
    if (found === undefined) throw new Error("kept what is not held");
    tiers.holdHead(found.held.entry.group, head);
    return { held: found.held, head, ...NOTHING_STORED, fwdStatus, isKept: true };
  }
  const how = { isLowered: settled.surprise === "lowered", isStored: written && body !== undefined };
  const held = tiers.hold(head, entry, body ?? found?.held.body, how);
  if (alias !== undefined) tiers.hold(head, alias, undefined, how);
  const isChanged = loaded.kind !== "not-modified";
  return { ...held, ...NOTHING_STORED, fwdStatus, stored: written, isChanged };
}

function tellOfSurprise(
  resource: Resource,
  known: Head | undefined,
  loaded: Loaded,
  { surprise, head }: Settled,
  onLowerGeneration: OnLowerGeneration,
): void {
  if (surprise === undefined) return;
  const answered = loaded.kind === "response" ? loaded.generation : head.generation;
  onLowerGeneration(keyOf(resource), known?.generation ?? 0, answered, surprise);
}
