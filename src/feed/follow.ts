import type { EpochMs, Ms } from "../clock.ts";
import type { FeedPosition } from "../store/store.ts";
import type { Asked, Page } from "./changelog.ts";

/** How far the feed has been followed; whose word it is, the loop knows. */
export type Position = Omit<FeedPosition, "fence">;

/** What the follower knows between two questions. */
export interface Following {
  /** Undefined where nobody has followed yet, or where following is to begin anew. */
  readonly position: Position | undefined;
  /** Upstream's newest serial is to be asked for before more changes are. */
  readonly mustSurvey: boolean;
  /** Pages read since the feed's end was last reached. */
  readonly pages: number;
  /** Questions in a row that upstream did not answer. */
  readonly failures: number;
}

/** What is asked next. */
export type Question = { readonly kind: "last-serial" } | { readonly kind: "since"; readonly serial: number };

/**
 * What an answer came to.
 * - `current`: nothing is missing as of the question
 * - `behind`: there is more
 * - `begun`: followed from here on; nothing is known of what was before
 * - `too-long`: the gap is too long to catch up with, so it is given up: to begin anew
 * - `went-back`: upstream knows less than it did, as after a restore: to begin anew
 */
export type Reached = "current" | "behind" | "begun" | "too-long" | "went-back";

/** The next state, and how long to wait before the next question. */
export interface Step {
  readonly following: Following;
  readonly reached: Reached;
  readonly waitMs: Ms;
}

/** PyPI asks for a second between two calls (facts/pypi.md §4.2). */
export const PAUSE_MS: Ms = 1_000;
/**
 * An answer of so many rows may have been cut to a page, of whatever size upstream makes them (50,000 today); a minute
 * has a dozen. With fewer the feed's end is reached.
 */
const FULL_ROWS = 1_000;
/** A million changes are two months of PyPI's, and twenty pages of 50,000: beyond, lifetimes are the cheaper way. */
const MAX_GAP = 1_000_000;
/** The same, where pages are smaller: no more than a minute or two of asking. */
const MAX_PAGES = 100;
/** When the end was not reached for so long, it is worth knowing how far away it is. */
const SURVEY_AFTER_MS: Ms = 600_000;
/** From the first failure on, each wait is twice as long as the one before. */
const FIRST_BACKOFF_MS: Ms = 5_000;
const LONGEST_BACKOFF_MS: Ms = 600_000;
/** What upstream asks for is obeyed, but one wrong word must not end the feed. */
const LONGEST_WAIT_MS: Ms = 3_600_000;

/** The state of one who takes the feed over, where somebody else left it. */
export function takeOver(position: Position | undefined): Following {
  return { position, mustSurvey: true, pages: 0, failures: 0 };
}

/** What is to be asked now. */
export function nextQuestion({ position, mustSurvey }: Following): Question {
  if (position === undefined || mustSurvey) return { kind: "last-serial" };
  return { kind: "since", serial: position.serial };
}

/** Upstream told its newest serial. */
export function onLastSerial(following: Following, asked: Asked<number>, intervalMs: Ms): Step {
  const { position } = following;
  const { value: last, asOf } = asked;
  if (position === undefined) return begin("begun", asked, intervalMs);
  if (last < position.serial) return begin("went-back", asked, intervalMs);
  if (last - position.serial > MAX_GAP) return begin("too-long", asked, intervalMs);
  if (last === position.serial) return atEnd("current", { ...position, asOf }, asked, intervalMs);
  return behind({ ...following, mustSurvey: false }, asked);
}

/** Upstream told of changes. They are to be marked before the step's position is stored. */
export function onPage(following: Following, asked: Asked<Page>, intervalMs: Ms): Step {
  const { position } = following;
  const { rows, lastSerial } = asked.value;
  if (position === undefined) throw new Error("a page without a position");
  if (lastSerial === undefined) return onNothing(following, asked);
  const at = { ...position, serial: Math.max(position.serial, lastSerial) };
  if (rows < FULL_ROWS) return atEnd("current", { ...at, asOf: asked.asOf }, asked, intervalMs);
  const pages = following.pages + 1;
  if (pages < MAX_PAGES) return behind({ ...following, position: at, pages, failures: 0 }, asked);
  return { ...behind(takeOver(undefined), asked), reached: "too-long" };
}

/** Upstream did not answer. @param retryAfterMs what it asked for; undefined where it did not say */
export function onFailure(following: Following, retryAfterMs: Ms | undefined, now: EpochMs): Step {
  const failures = following.failures + 1;
  const isLong = now - (following.position?.asOf ?? now) > SURVEY_AFTER_MS;
  return {
    following: { ...following, failures, mustSurvey: following.mustSurvey || isLong },
    reached: "behind",
    waitMs: Math.max(backoffMs(failures), Math.min(retryAfterMs ?? 0, LONGEST_WAIT_MS)),
  };
}

/**
 * There is nothing new; or so says an upstream that has lost what it knew, which the next question finds out. Where it
 * contradicts itself (one of its nodes lags), it is asked less and less often.
 */
function onNothing(following: Following, asked: Asked<unknown>): Step {
  const failures = following.failures + 1;
  const step = behind({ ...following, mustSurvey: true, failures }, asked);
  return failures === 1 ? step : { ...step, waitMs: Math.max(step.waitMs, backoffMs(failures)) };
}

function begin(reached: Reached, asked: Asked<number>, intervalMs: Ms): Step {
  const { value: serial, asOf } = asked;
  return atEnd(reached, { serial, asOf, followedSince: asOf }, asked, intervalMs);
}

function atEnd(reached: Reached, position: Position, asked: Asked<unknown>, intervalMs: Ms): Step {
  const following = { position, mustSurvey: false, pages: 0, failures: 0 };
  return { following, reached, waitMs: Math.max(intervalMs, waitMsOf(asked)) };
}

function behind(following: Following, asked: Asked<unknown>): Step {
  return { following, reached: "behind", waitMs: Math.max(PAUSE_MS, waitMsOf(asked)) };
}

function waitMsOf({ waitMs }: Asked<unknown>): Ms {
  return Math.min(waitMs, LONGEST_WAIT_MS);
}

function backoffMs(failures: number): Ms {
  return Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 20), LONGEST_BACKOFF_MS);
}
