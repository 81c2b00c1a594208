import type { Clock, EpochMs, Ms } from "../clock.ts";

/** What one probe found. */
export type Health = { readonly healthy: true } | { readonly healthy: false; readonly reason: string };

/**
 * Asks a mirror whether it works. A rejection counts as not healthy.
 * Must settle soon after `signal` aborts: the next probe of the same mirror waits for that.
 */
export type Probe = (base: string, signal: AbortSignal) => Promise<Health>;

/** What is known of one mirror. */
export interface MirrorState {
  /** Its base URL as configured, no slash at the end. */
  readonly base: string;
  readonly healthy: boolean;
  /** Since when it has been so: the start, or the probe that changed it. */
  readonly since: EpochMs;
  /** Why it is not healthy; undefined while it is. */
  readonly reason: string | undefined;
}

export interface MirrorOptions {
  /** In order of preference. */
  readonly bases: readonly string[];
  readonly probe: Probe;
  /** Pause between the end of a probe and the next of the same mirror. */
  readonly intervalMs: Ms;
  readonly clock: Clock;
  /** Told of every mirror that has become healthy or ceased to be. */
  readonly onChange?: (mirror: MirrorState) => void;
}

/** Where files can be had from besides upstream, and which of these places work. */
export interface Mirrors {
  /** The base of the first healthy mirror; undefined when none is: file URLs then point upstream. */
  current(): string | undefined;
  states(): readonly MirrorState[];
  /** Ends the probes; resolves when none is under way any more. */
  close(): Promise<void>;
}

// Longer than a mirror that anyone would want to download from takes to answer a HEAD.
const PROBE_TIMEOUT_MS: Ms = 3_000;

/**
 * Watches mirrors from now on: each is probed at once and then again and again, never twice at a time.
 * Until its first probe has failed, a mirror is taken as healthy.
 */
export function createMirrors({ bases, probe, intervalMs, clock, onChange }: MirrorOptions): Mirrors {
  const watches = bases.map((base) => watch(base, { probe, intervalMs, clock, onChange }));
  return {
    current: () => watches.find((each) => each.state().healthy)?.state().base,
    states: () => watches.map((each) => each.state()),
    close: async () => {
      await Promise.all(watches.map((each) => each.close()));
    },
  };
}

interface Watch {
  state(): MirrorState;
  close(): Promise<void>;
}

type WatchOptions = Pick<MirrorOptions, "probe" | "intervalMs" | "clock"> & {
  readonly onChange: MirrorOptions["onChange"] | undefined;
};

function watch(base: string, { probe, intervalMs, clock, onChange }: WatchOptions): Watch {
  let state: MirrorState = { base, healthy: true, since: clock.now(), reason: undefined };
  let isClosed = false;
  let stop: () => void;
  let probing: Promise<void>;

  function start(): void {
    const aborter = new AbortController();
    stop = () => aborter.abort();
    probing = probeInTime(base, probe, clock, aborter).then((health) => {
      if (isClosed) return;
      stop = clock.after(intervalMs, start);
      learn(health);
    });
  }

  function learn(health: Health): void {
    const changed = health.healthy !== state.healthy;
    const reason = health.healthy ? undefined : health.reason;
    state = { base, healthy: health.healthy, since: changed ? clock.now() : state.since, reason };
    if (changed) onChange?.(state);
  }

  start();
  return {
    state: () => state,
    close() {
      isClosed = true;
      stop();
      return probing;
    },
  };
}

/** Never rejects. */
async function probeInTime(
  base: string,
  probe: Probe,
  clock: Clock,
  aborter: AbortController,
): Promise<Health> {
  const cancel = clock.after(PROBE_TIMEOUT_MS, () => aborter.abort());
  try {
    const health = await probe(base, aborter.signal);
    return aborter.signal.aborted ? TIMED_OUT : health;
  } catch (error) {
    if (aborter.signal.aborted) return TIMED_OUT;
    return { healthy: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    cancel();
  }
}

const TIMED_OUT: Health = { healthy: false, reason: `no answer within ${PROBE_TIMEOUT_MS} ms` };
