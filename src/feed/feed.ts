import type { FeedWord } from "../cache/freshness.ts";
import type { EpochMs, Ms } from "../clock.ts";
import { StoreUnavailable, UpstreamUnavailable } from "../errors.ts";
import { keepRenewing } from "../fleet/keep-renewing.ts";
import type { Lease, Leases } from "../fleet/leases.ts";
import { isProject } from "../pypi/names.ts";
import type { FeedPosition, Store } from "../store/store.ts";
import type { OnSurvived } from "../store/survived.ts";
import type { Changelog } from "./changelog.ts";
import {
  type Following,
  nextQuestion,
  onFailure,
  onLastSerial,
  onPage,
  type Question,
  type Reached,
  type Step,
  takeOver,
} from "./follow.ts";
import { Marks, type MarksOptions } from "./marks.ts";

/** What happens to the feed, for the log and the metrics. */
export type FeedEvent =
  /** This node follows from now on, from where it was left; undefined where it never was followed. */
  | { readonly kind: "leads"; readonly serial: number | undefined }
  /** The lease is lost: another node may follow from now on. */
  | { readonly kind: "lost" }
  /** One question to upstream; `outcome` is what it came to (`Reached`), or the failure's word. */
  | { readonly kind: "asked"; readonly outcome: string; readonly rows: number; readonly marks: number }
  /** Worth an operator's attention: everything but one quiet poll after another. */
  | { readonly kind: "reached"; readonly reached: Reached; readonly serial: number | undefined }
  /** The first failure in a row. */
  | { readonly kind: "fails"; readonly error: UpstreamUnavailable | StoreUnavailable }
  /** The first answer after failures. */
  | { readonly kind: "recovers" };

/** How the feed is doing, for /readyz and the metrics. */
export interface FeedState {
  /** Whether this node is the one that follows. */
  readonly leads: boolean;
  readonly serial: number | undefined;
  /** As of when nothing is missing; undefined where nobody has followed yet. */
  readonly asOf: EpochMs | undefined;
  readonly followedSince: EpochMs | undefined;
  /** Why the last question was not answered; undefined when it was. */
  readonly lastFailure: string | undefined;
}

export interface FeedOptions extends MarksOptions {
  readonly changelog: Changelog;
  readonly store: Pick<Store, "advance" | "readFeed" | "writeFeed">;
  readonly leases: Leases;
  readonly intervalMs: Ms;
  /** See `FeedWord`. */
  readonly ownCheckMs: Ms;
  readonly onEvent: (event: FeedEvent) => void;
  readonly onSurvived: OnSurvived;
}

const LEASE_KEY = "feed";
/** The lease is renewed at least this often, also while upstream is not asked. */
const BEAT_MS: Ms = 60_000;
/** So much longer than a beat the lease lasts: a node that stands still for less keeps it. */
const LEASE_SLACK_MS: Ms = 12_000;
/** While a question lasts, which is seldom so long, it is renewed this often. */
const RENEW_EVERY_MS: Ms = LEASE_SLACK_MS / 3;

/**
 * Follows upstream's changes: one node of the fleet asks, all use the position that it leaves in the store.
 *
 * A change is marked, in this process' memory and in the store, before the position moves past it; and the position
 * says as of when every change has been marked. So whoever reads the position may rely on the marks.
 */
export class Feed {
  readonly #options: FeedOptions;
  #lease: Lease | undefined;
  #fence = 0;
  #following: Following = takeOver(undefined);
  #marks: Marks;
  #position: FeedPosition | undefined;
  #word: FeedWord | undefined;
  #waitMs: Ms = 0;
  #waitsSince: EpochMs = 0;
  #lastFailure: string | undefined;
  #cancelTimer: () => void = () => undefined;
  #unsubscribe: () => void = () => undefined;
  #turn: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#marks = new Marks(options);
  }

  /** Begins to follow, or to wait for being the one who does. */
  start(): void {
    this.#unsubscribe = this.#options.news.subscribe(({ kind }) => {
      if (kind === "feed" && this.#lease === undefined) void this.#look();
    });
    this.#run();
  }

  /**
   * What the feed says of a group as far as it is known here; undefined where it says nothing, and of groups that are
   * no projects: no journal tells of those.
   */
  word(group: string): FeedWord | undefined {
    return isProject(group) ? this.#word : undefined;
  }

  state(): FeedState {
    const { serial, asOf, followedSince } = this.#position ?? {};
    return {
      leads: this.#lease !== undefined,
      serial,
      asOf,
      followedSince,
      lastFailure: this.#lease === undefined ? undefined : this.#lastFailure,
    };
  }

  /** Asks nothing more, waits for the question under way, and lets another node take over. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer();
    this.#unsubscribe();
    await this.#turn;
    await this.#lease?.release("closed");
    this.#lease = undefined;
  }

  #run(): void {
    this.#turn = this.#takeTurn()
      .catch((error: unknown) => {
        this.#options.onSurvived("feed", "", error);
        return this.#beatMs;
      })
      .then((waitMs) => {
        if (!this.#isClosed) this.#cancelTimer = this.#options.clock.after(waitMs, () => this.#run());
      });
  }

  get #beatMs(): Ms {
    return Math.min(this.#options.intervalMs, BEAT_MS);
  }

  /** @returns how long to wait for the next turn */
  async #takeTurn(): Promise<Ms> {
    if (!(await this.#leads())) {
      await this.#look();
      return this.#beatMs;
    }
    const leftMs = this.#leftMs();
    if (leftMs > 0) return Math.min(leftMs, this.#beatMs);
    const stopRenewing = this.#lease && keepRenewing(this.#lease, this.#options.clock, RENEW_EVERY_MS);
    this.#waitMs = await this.#askNext().finally(stopRenewing);
    this.#waitsSince = this.#options.clock.now();
    return Math.min(this.#waitMs, this.#beatMs);
  }

  /** How long upstream is still to be left alone. */
  #leftMs(): Ms {
    const waitedMs = this.#options.clock.now() - this.#waitsSince;
    return waitedMs < 0 ? 0 : this.#waitMs - waitedMs; // below: the clock was set back
  }

  async #leads(): Promise<boolean> {
    if (this.#lease !== undefined) {
      if (await this.#lease.renew()) return true;
      this.#stepDown();
    }
    const lease = await this.#options.leases.acquire(LEASE_KEY, this.#beatMs + LEASE_SLACK_MS);
    if (lease.kind === "taken") return false;
    try {
      this.#takeOver(lease, await this.#options.store.readFeed());
      return true;
    } catch (error) {
      await lease.release("no position");
      throw error;
    }
  }

  #takeOver(lease: Lease, stored: FeedPosition | undefined): void {
    this.#lease = lease;
    // Greater than what is stored, even where a clock was set back since.
    this.#fence = Math.max(lease.token, (stored?.fence ?? 0) + 1);
    this.#following = takeOver(stored);
    this.#marks = new Marks(this.#options);
    this.#waitMs = 0;
    if (stored !== undefined) this.#learn(stored);
    this.#options.onEvent({ kind: "leads", serial: stored?.serial });
  }

  #stepDown(): void {
    this.#lease = undefined;
    this.#options.onEvent({ kind: "lost" });
  }

  /** Another node follows: learns how far it has come. Where the store cannot tell, what is known grows old. */
  async #look(): Promise<void> {
    try {
      const stored = await this.#options.store.readFeed();
      if (stored !== undefined && this.#lease === undefined) this.#learn(stored);
    } catch (error) {
      this.#options.onSurvived("feed: position not read", "", error);
    }
  }

  #learn(position: FeedPosition): void {
    const { asOf, followedSince } = position;
    this.#position = position;
    this.#word = { asOf, followedSince, ownCheckMs: this.#options.ownCheckMs };
  }

  /** One question to upstream, and what comes of it. @returns how long to wait for the next one */
  async #askNext(): Promise<Ms> {
    try {
      const step = await this.#ask(nextQuestion(this.#following));
      if (!(await this.#keep(step))) return this.#beatMs;
      this.#tell(step);
      this.#following = step.following;
      return step.waitMs;
    } catch (error) {
      if (error instanceof UpstreamUnavailable) return this.#fail(error, error.failure, error.retryAfterMs);
      if (error instanceof StoreUnavailable) return this.#fail(error, "store", undefined);
      throw error;
    }
  }

  async #ask(question: Question): Promise<Step> {
    const { changelog, intervalMs, onEvent } = this.#options;
    if (question.kind === "last-serial") {
      const step = onLastSerial(this.#following, await changelog.lastSerial(), intervalMs);
      onEvent({ kind: "asked", outcome: step.reached, rows: 0, marks: 0 });
      return step;
    }
    const asked = await changelog.since(question.serial);
    const { rows, marks } = asked.value;
    await this.#marks.add(marks);
    const step = onPage(this.#following, asked, intervalMs);
    onEvent({ kind: "asked", outcome: step.reached, rows, marks: marks.size });
    return step;
  }

  #tell({ reached, following }: Step): void {
    const { onEvent } = this.#options;
    if (this.#lastFailure !== undefined) onEvent({ kind: "recovers" });
    this.#lastFailure = undefined;
    const isQuiet = reached === "behind" || (reached === "current" && this.#following.pages === 0);
    if (!isQuiet) onEvent({ kind: "reached", reached, serial: following.position?.serial });
  }

  #fail(error: UpstreamUnavailable | StoreUnavailable, outcome: string, retryAfterMs: Ms | undefined): Ms {
    const { clock, onEvent } = this.#options;
    if (this.#isClosed) return this.#beatMs;
    onEvent({ kind: "asked", outcome, rows: 0, marks: 0 });
    if (this.#lastFailure === undefined) onEvent({ kind: "fails", error });
    this.#lastFailure = error.message;
    const step = onFailure(this.#following, retryAfterMs, clock.now());
    this.#following = step.following;
    return step.waitMs;
  }

  /** Leaves the position in the store. @returns false when another node has taken over */
  async #keep({ following: { position } }: Step): Promise<boolean> {
    const { store, news } = this.#options;
    if (position === undefined || position === this.#following.position) return true;
    const kept = { ...position, fence: this.#fence };
    if ((await store.writeFeed(kept)) === "refused") {
      await this.#lease?.release("taken over");
      this.#stepDown();
      return false;
    }
    this.#learn(kept);
    news.publish({ kind: "feed" });
    return true;
  }
}
