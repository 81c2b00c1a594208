import type { Clock, Ms } from "../clock.ts";
import { keepRenewing } from "../fleet/keep-renewing.ts";
import type { Lease, Leases, Taken } from "../fleet/leases.ts";
import type { BlobReading, Fill, FillOutcome, Opened } from "./fill.ts";
import { pause } from "./pause.ts";
import { Following, type GrowingPart, LEADER_WORDS, type Salvage } from "./following.ts";
import { type Stage, StagedReader } from "./staged-reader.ts";
import { Users } from "./users.ts";

/** How a file was got. `followed`: another process did, and this one read along. */
export type SharedOutcome = FillOutcome | "followed";

export interface SharedFillOptions {
  /** Hex, 64 digits. */
  readonly blake2b256: string;
  /** Undefined where this process is all there is. */
  readonly leases: Leases | undefined;
  /** Which lease it is that makes a leader. */
  readonly leaseKey: string;
  /** Begins a fill of this process' own. @param token of the lease that it leads by; undefined where it goes alone */
  readonly lead: (token: number | undefined, salvage: Salvage | undefined) => Fill;
  /** Hands on what a fill of this process stored. Never rejects. */
  readonly publish: () => Promise<void>;
  /** What another process may have finished since it was last looked for. */
  readonly findFinished: () => Promise<BlobReading | undefined>;
  /** The part file that is written by this lease, where it can be seen from here. */
  readonly openPart: (token: number) => Promise<GrowingPart | undefined>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

// A dead leader's followers stand still for so long at most, which is less than makes them go on each by itself: one
// takes over for all. Renewed four times within it.
const LEASE_MS: Ms = 3_000;
const RENEW_EVERY_MS: Ms = 750;
const LONGEST_FOLLOWED_MS: Ms = 24 * 3_600_000;
const LONGEST_PUBLISHING_MS: Ms = 30_000;

// One dies, and the next, and the next: this process' readers have waited long enough.
const MOST_LEADERS = 4;

/**
 * One download of a file for all processes that share leases. One of them leads; the others read the part file that it
 * writes, where they share the folder. When the leader is lost another goes on from what there is, and nobody's readers
 * notice; a leader that gives nothing is left alone with it.
 */
export class SharedFill {
  /** How it ended. Never rejects. */
  readonly done: Promise<SharedOutcome>;
  readonly #options: SharedFillOptions;
  readonly #readers = new Set<StagedReader>();
  #stage: Stage | undefined;
  #own: Fill | undefined;

  constructor(options: SharedFillOptions) {
    this.#options = options;
    this.done = this.#run();
  }

  /** Bytes that this process has fetched. */
  get writtenBytes(): number {
    return this.#own?.writtenBytes ?? 0;
  }

  /**
   * Joins it. Resolves when it is known what there is.
   *
   * @throws UpstreamUnavailable when upstream has no answer
   */
  async join(): Promise<Opened> {
    const reader = new StagedReader((each) => this.#readers.delete(each));
    this.#readers.add(reader);
    if (this.#stage !== undefined) reader.moveTo(this.#stage);
    return await reader.open();
  }

  async #run(): Promise<SharedOutcome> {
    const { leases, leaseKey, openPart, findFinished } = this.#options;
    if (leases === undefined) return await this.#lead(undefined, undefined);
    const followed: Following[] = [];
    let salvage: Salvage | undefined;
    try {
      for (let leaders = 0; leaders < MOST_LEADERS; leaders++) {
        const claim = await leases.acquire(leaseKey, LEASE_MS);
        // Between the look that found nothing and this lease, somebody may have finished.
        if (claim.kind === "held") {
          const reading = await findFinished();
          if (reading === undefined) return await this.#lead(claim, salvage);
          await claim.release(LEADER_WORDS.done);
          return this.#serve(reading);
        }
        const following = this.#follow(leases, claim, openPart, salvage);
        followed.push(following);
        const end = await following.done;
        if (end === "proved") return "followed";
        if (end === "failed") return "failed";
        salvage = following.salvage() ?? salvage;
        if (end === "late") break;
      }
      return await this.#lead(undefined, salvage);
    } finally {
      for (const each of followed) each.release();
    }
  }

  #follow(
    leases: Leases,
    claim: Taken,
    openPart: SharedFillOptions["openPart"],
    before: Salvage | undefined,
  ): Following {
    const { clock, signal, blake2b256 } = this.#options;
    const following = new Following({
      blake2b256,
      ended: leases.ended(claim, LONGEST_FOLLOWED_MS),
      openPart: () => openPart(claim.token),
      before,
      clock,
      signal,
    });
    this.#enter(following);
    return following;
  }

  #serve(reading: BlobReading): SharedOutcome {
    const users = new Users(() => reading.close());
    const leave = users.enter();
    this.#enter({
      join: () =>
        Promise.resolve({ kind: "opened", reading: { ...reading, from: "peer", close: users.enter() } }),
    });
    leave();
    return "followed";
  }

  async #lead(lease: Lease | undefined, salvage: Salvage | undefined): Promise<FillOutcome> {
    const fill = this.#options.lead(lease?.token, salvage);
    this.#own = fill;
    this.#enter(fill);
    // One that is lost is not looked after: the fill goes on.
    const stopRenewing = lease && keepRenewing(lease, this.#options.clock, RENEW_EVERY_MS);
    const outcome = await fill.done;
    const published = outcome === "stored" ? this.#options.publish() : Promise.resolve();
    if (lease !== undefined) void this.#release(lease, outcome, published).finally(stopRenewing);
    return outcome;
  }

  /** Held on to while the file is handed on: who waits for it elsewhere finds it then, and need not ask upstream. */
  async #release(lease: Lease, outcome: FillOutcome, published: Promise<void>): Promise<void> {
    const { clock, signal } = this.#options;
    await Promise.race([published, pause(clock, LONGEST_PUBLISHING_MS, signal).catch(() => undefined)]);
    await lease.release(this.#wordFor(outcome));
  }

  #wordFor(outcome: FillOutcome): string {
    if (outcome === "stored") return LEADER_WORDS.done;
    const isLeft = outcome === "not-stored" || outcome === "passed-through" || this.#options.signal.aborted;
    return isLeft ? LEADER_WORDS.left : LEADER_WORDS.failed;
  }

  #enter(stage: Stage): void {
    this.#stage = stage;
    for (const reader of this.#readers) reader.moveTo(stage);
  }
}
