import type { Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { keepRenewing } from "../fleet/keep-renewing.ts";
import type { Lease, Leases } from "../fleet/leases.ts";
import {
  type FillAloneOptions,
  fill,
  fillAlone,
  type Filled,
  keyOf,
  NOTHING_STORED,
  type Resource,
} from "./fill.ts";
import { isSuperseded } from "./freshness.ts";
import { readWord, type Told, wordOf } from "./lease-words.ts";
import type { HeldWithHead } from "./memory.ts";

export interface LeasedFillOptions extends FillAloneOptions {
  readonly leases: Leases;
  /** After so long a lease ends by itself; it is renewed while its holder lives. */
  readonly leaseMs: Ms;
  /** Longest wait for another node's answer; then this one asks for itself. */
  readonly followMs: Ms;
  /** Digest of a body that turned out to be gone: an entry that promises it answers nothing. */
  readonly lostDigest: string | undefined;
  /** Whether an entry may be served without asking upstream. */
  readonly isFresh: (found: HeldWithHead) => boolean;
}

/**
 * One forward per key in the fleet: asks upstream under a lease, or waits for who does and takes what he stored. A node
 * that dies (killed, paused, cut off) loses its lease, and one of those who wait takes over; so they do for one that
 * stops. A failure of upstream's reaches each node that waits, once.
 *
 * @param found what this node holds, undefined for nothing
 * @throws UpstreamUnavailable as `Resource.load` does, here or on the node that asked
 */
export async function leasedFill(
  resource: Resource,
  found: HeldWithHead | undefined,
  options: LeasedFillOptions,
): Promise<Filled> {
  const { leases, clock, leaseMs, followMs } = options;
  const key = keyOf(resource);
  const giveUpAt = clock.now() + followMs;
  for (;;) {
    const turn = await leases.acquire(key, leaseMs);
    if (turn.kind === "held") {
      const led = await lead(resource, found, turn, options);
      if (led !== undefined) return led;
      continue;
    }
    const end = await leases.ended(turn, Math.max(0, giveUpAt - clock.now()));
    if (end.kind === "late") return await fillAlone(resource, found, options);
    if (end.kind === "lost") continue;
    const told = readWord(end.word);
    if (told instanceof UpstreamUnavailable) throw told;
    if (told === "left") continue;
    const stored = told === "stored" ? await newsInStore(resource, found, options) : undefined;
    // Purged, or known to have changed, since he asked: that is to be asked for again.
    if (stored !== undefined && isSuperseded(stored.held.entry, stored.head, clock.now())) continue;
    if (stored !== undefined) return followed(stored);
    // He could not store it, or what he stored is gone already: it is not to be had from him.
    return await fillAlone(resource, found, options);
  }
}

/** @returns undefined when the lease was lost before upstream was asked, by a process that stood still */
async function lead(
  resource: Resource,
  found: HeldWithHead | undefined,
  lease: Lease,
  options: LeasedFillOptions,
): Promise<Filled | undefined> {
  const acquiredAt = options.clock.now();
  const stopRenewing = keepRenewing(lease, options.clock, options.leaseMs / 3);
  let told: Told = "unstored";
  try {
    // Another node may have finished between our look and our lease.
    const stored = await newsInStore(resource, found, options);
    if (stored !== undefined && options.isFresh(stored)) {
      told = "stored";
      return followed(stored);
    }
    // Tokens are in the order of asking only if who asks still has the lease.
    if (options.clock.now() - acquiredAt >= options.leaseMs && !(await lease.renew())) return undefined;
    const filled = await fill(resource, stored ?? found, { ...options, token: lease.token });
    if (filled.stored) told = "stored";
    return filled;
  } catch (error) {
    if (error instanceof UpstreamUnavailable) told = error;
    throw error;
  } finally {
    stopRenewing();
    void lease.release(wordOf(told));
  }
}

/** What the store has by now, if that is another entry, or otherwise confirmed, than the one that was known. */
async function newsInStore(
  { group, name }: Resource,
  found: HeldWithHead | undefined,
  { tiers, lostDigest }: LeasedFillOptions,
): Promise<HeldWithHead | undefined> {
  const stored = await tiers.read(group, name);
  if (stored === undefined || stored.held.entry.digest === lostDigest) return undefined;
  const known = found?.held.entry;
  const { digest, confirmedAt } = stored.held.entry;
  return digest !== known?.digest || confirmedAt > known.confirmedAt ? stored : undefined;
}

function followed(stored: HeldWithHead): Filled {
  return { ...stored, ...NOTHING_STORED, fwdStatus: undefined, isFollowed: true };
}
