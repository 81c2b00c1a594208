import type { Clock, EpochMs, Ms } from "../clock.ts";
import { Backoff } from "./backoff.ts";

/** How a worker's process ended. */
export interface WorkerEnd {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** Why there never was one, where the system would not start it. */
  readonly reason?: string;
}

/** A worker's process, just forked. */
export interface WorkerProcess {
  readonly id: number;
  readonly pid: number;
  /** Resolves when it takes requests; never, where it ends before. */
  readonly up: Promise<void>;
  readonly ended: Promise<WorkerEnd>;
  /** Asks it to let requests under way end, and to end. @param lingers whether others go on serving */
  drain(lingers: boolean): void;
  kill(): void;
}

/** What has happened, for the log and the metrics. */
export type PoolEvent =
  | { readonly kind: "up"; readonly id: number; readonly pid: number; readonly up: number }
  /** It was not asked to. */
  | ({
      readonly kind: "lost";
      readonly id: number;
      readonly pid: number;
      readonly up: number;
      readonly livedMs: Ms;
      readonly replacedInMs: Ms;
    } & WorkerEnd)
  /** It was asked to: because all of them are, or because another one has taken its place. */
  | ({
      readonly kind: "drained";
      readonly id: number;
      readonly pid: number;
      readonly up: number;
      readonly isReplaced: boolean;
    } & WorkerEnd)
  /** It did not begin to listen, or did not end, in time, and was killed. */
  | { readonly kind: "killed"; readonly id: number; readonly pid: number }
  | { readonly kind: "rolling" }
  | { readonly kind: "rolled" }
  /** A new worker did not come up: the old ones go on. */
  | ({ readonly kind: "roll-failed"; readonly id: number } & WorkerEnd);

export interface PoolOptions {
  readonly count: number;
  readonly fork: () => WorkerProcess;
  readonly clock: Clock;
  /** How long a worker's requests may take to end when it is asked to. */
  readonly drainMs: Ms;
  readonly onEvent: (event: PoolEvent) => void;
}

interface Member {
  readonly process: WorkerProcess;
  readonly startedAt: EpochMs;
  /** `trial`: starting, and whoever started it decides what comes of its failure. */
  state: "trial" | "starting" | "up" | "draining";
  /** "up", or how it ended before. */
  readonly started: Promise<"up" | WorkerEnd>;
}

// Opening a store of 100,000 entries takes a second, Redis another.
const START_MS: Ms = 30_000;
// To close the stores, after the requests. Docker kills all at 10 s, LARDER_SHUTDOWN being 8 s.
const CLOSE_MS: Ms = 1_500;

/** Keeps as many workers up as there should be: replaces who dies, and all of them in turn when asked to. */
export class Pool {
  readonly #options: PoolOptions;
  readonly #members = new Map<number, Member>();
  readonly #backoff = new Backoff();
  readonly #pauses = new Set<() => void>();
  #isClosing = false;
  #rolls: "none" | "one" | "another" = "none";

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** How many workers take requests. */
  get up(): number {
    return [...this.#members.values()].filter(({ state }) => state === "up").length;
  }

  /**
   * Starts one, and then the others, so that what is wrong with all of them is found once.
   * @returns how the first one ended, where it did before it was up; else undefined
   */
  async start(): Promise<WorkerEnd | undefined> {
    const first = await this.#launch("trial").started;
    if (first !== "up") return first;
    const rest = Array.from({ length: this.#options.count - 1 }, () => this.#launch("starting").started);
    await Promise.all(rest);
    return undefined;
  }

  /** Replaces all workers in turn, each once its successor is up. Asked for meanwhile: once more afterwards. */
  roll(): void {
    if (this.#isClosing) return;
    if (this.#rolls !== "none") this.#rolls = "another";
    else void this.#rollAll();
  }

  /** Lets all of them end. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const cancel of this.#pauses) cancel();
    const members = [...this.#members.values()];
    for (const member of members) this.#drain(member, false);
    await Promise.all(members.map(({ process }) => process.ended));
  }

  /** Ends all of them here and now. */
  kill(): void {
    this.#isClosing = true;
    for (const { process } of this.#members.values()) process.kill();
  }

  #launch(state: "trial" | "starting"): Member {
    const { clock, fork, onEvent } = this.#options;
    const process = fork();
    const { id, pid } = process;
    const cancelKill = this.#killIn(START_MS, process);
    const isUp = process.up.then(() => {
      cancelKill();
      if (member.state !== "draining") member.state = "up";
      onEvent({ kind: "up", id, pid, up: this.up });
      return "up" as const;
    });
    const isOver = process.ended.then((end) => {
      cancelKill();
      this.#ended(member, end);
      return end;
    });
    const started = Promise.race([isUp, isOver]);
    const member: Member = { process, startedAt: clock.now(), state, started };
    this.#members.set(id, member);
    return member;
  }

  #ended(member: Member, end: WorkerEnd): void {
    const { clock, onEvent } = this.#options;
    const { id, pid } = member.process;
    this.#members.delete(id);
    if (member.state === "draining") {
      onEvent({ kind: "drained", id, pid, up: this.up, isReplaced: !this.#isClosing, ...end });
    }
    if (member.state === "draining" || member.state === "trial" || this.#isClosing) return;
    const livedMs = clock.now() - member.startedAt;
    const replacedInMs = this.#backoff.pauseAfter(livedMs);
    onEvent({ kind: "lost", id, pid, up: this.up, livedMs, replacedInMs, ...end });
    const cancel = clock.after(replacedInMs, () => {
      this.#pauses.delete(cancel);
      if (!this.#isClosing && this.#staying() < this.#options.count) this.#launch("starting");
    });
    this.#pauses.add(cancel);
  }

  /** How many there are that are to stay. */
  #staying(): number {
    return [...this.#members.values()].filter(({ state }) => state === "up" || state === "starting").length;
  }

  #drain(member: Member, lingers: boolean): void {
    if (member.state === "draining") return;
    member.state = "draining";
    member.process.drain(lingers);
    const cancelKill = this.#killIn(this.#options.drainMs + CLOSE_MS, member.process);
    void member.process.ended.then(cancelKill);
  }

  #killIn(delayMs: Ms, process: WorkerProcess): () => void {
    return this.#options.clock.after(delayMs, () => {
      this.#options.onEvent({ kind: "killed", id: process.id, pid: process.pid });
      process.kill();
    });
  }

  async #rollAll(): Promise<void> {
    const { onEvent } = this.#options;
    this.#rolls = "one";
    onEvent({ kind: "rolling" });
    let failed: ({ readonly id: number } & WorkerEnd) | undefined;
    for (const old of [...this.#members.values()]) failed ??= await this.#replace(old);
    if (this.#isClosing) return;
    onEvent(failed === undefined ? { kind: "rolled" } : { kind: "roll-failed", ...failed });
    const isAnother = this.#asksForAnother();
    this.#rolls = "none";
    if (isAnother) void this.#rollAll();
  }

  #asksForAnother(): boolean {
    return this.#rolls === "another";
  }

  /** @returns how the successor ended, if it never was up */
  async #replace(old: Member): Promise<({ readonly id: number } & WorkerEnd) | undefined> {
    if (this.#isClosing || !this.#isThere(old)) return undefined;
    const next = this.#launch("trial");
    const started = await next.started;
    if (started !== "up") return { id: next.process.id, ...started };
    // It may have died meanwhile, and have been replaced for that.
    const surplus = this.#isThere(old) ? old : this.#staying() > this.#options.count ? next : undefined;
    if (surplus === undefined) return undefined;
    this.#drain(surplus, true);
    await surplus.process.ended;
    return undefined;
  }

  #isThere(member: Member): boolean {
    return this.#members.has(member.process.id);
  }
}
