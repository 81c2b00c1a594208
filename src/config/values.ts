import { availableParallelism } from "node:os";
import type { Ms } from "../clock.ts";

/** What reading one value came to. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  /** `hint` says what to write instead, where that can be told. */
  | { readonly ok: false; readonly hint?: string };

/** Reads a file's text; throws as `node:fs` does. Handed in, so that tests need no disk. */
export type ReadFile = (path: string) => string;

/** A kind of configuration value: how it is written, read and shown. */
export interface Kind<T> {
  /** What is accepted, to stand after "expected". */
  readonly accepts: string;
  /** Whether what is given may hold a password, so that an error message must mask it. */
  readonly mayHoldSecret?: boolean;
  parse(given: string, readFile: ReadFile): Outcome<T>;
  /** For the start-up log: without secrets, and (where there are none) in the form that `parse` reads. */
  show(value: T): string;
}

/** An accepted value. */
export const accept = <T>(value: T): Outcome<T> => ({ ok: true, value });

/** A refused value, with what to write instead if that is known. */
export const refuse = (hint?: string): { ok: false; hint?: string } =>
  hint === undefined ? { ok: false } : { ok: false, hint };

/** A kind whose empty form means that nothing is configured. */
export function optional<T>(kind: Kind<T>): Kind<T | undefined> {
  return {
    ...kind,
    parse: (given, readFile) => (given === "" ? accept(undefined) : kind.parse(given, readFile)),
    show: (value) => (value === undefined ? "" : kind.show(value)),
  };
}

const DURATION_UNITS: ReadonlyMap<string, Ms> = new Map([
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
]);

/**
 * A span of time in milliseconds, written as a whole number and a unit: `500ms`, `90s`, `10m`, `24h`, `7d`; `0`
 * needs none. With `unlimited`, that word is read as Infinity.
 */
export function duration(bounds: { min?: Ms; max?: Ms; unlimited?: boolean } = {}): Kind<Ms> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, unlimited = false } = bounds;
  const forms = ["500ms, 90s, 10m, 24h, 7d"];
  if (min === 0) forms.push("0");
  if (unlimited) forms.push("unlimited");
  const limits = showLimits(min, max, showDuration);
  return {
    accepts: `a duration such as ${forms.join(", ").replace(/, ([^,]*)$/, " or $1")}${limits}`,
    parse(given) {
      if (unlimited && given === "unlimited") return accept(Number.POSITIVE_INFINITY);
      const read = parseQuantity(given, DURATION_UNITS, ["s", "m"]);
      return read.ok && (read.value < min || read.value > max) ? refuse() : read;
    },
    show: showDuration,
  };
}

/** The shortest way to write a duration exactly, in the form that `duration` reads. */
export function showDuration(durationMs: Ms): string {
  return durationMs === Number.POSITIVE_INFINITY ? "unlimited" : showQuantity(durationMs, DURATION_UNITS);
}

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
  ["TB", 1e12],
  ["GB", 1e9],
  ["MB", 1e6],
  ["kB", 1e3],
  ["KB", 1e3],
  ["B", 1],
]);

/** A number of bytes, written as a whole number and a unit: `64KiB`, `256MiB`, `10GiB`, decimal `10GB`; or `0`. */
export function size(bounds: { min?: number; max?: number } = {}): Kind<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = bounds;
  return {
    accepts: `a size such as 64KiB, 256MiB, 10GiB or 10GB${min === 0 ? ", or 0" : ""}${showLimits(min, max, showSize)}`,
    parse(given) {
      const read = parseQuantity(given, SIZE_UNITS, ["MiB", "GiB"]);
      return read.ok && (read.value < min || read.value > max) ? refuse() : read;
    },
    show: showSize,
  };
}

/** The shortest way to write a number of bytes exactly, in the form that `size` reads. */
export function showSize(bytes: number): string {
  return showQuantity(bytes, SIZE_UNITS);
}

/** A whole number within bounds, both included. */
export function integer(min: number, max: number): Kind<number> {
  return {
    accepts: `a whole number from ${min} to ${max}`,
    parse(given) {
      const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
      return value >= min && value <= max ? accept(value) : refuse();
    },
    show: String,
  };
}

/** A whole number within bounds, both included, or `unlimited`: Infinity. */
export function integerOrUnlimited(min: number, max: number): Kind<number> {
  const number = integer(min, max);
  return {
    accepts: `${number.accepts}, or unlimited`,
    parse: (given, readFile) =>
      given === "unlimited" ? accept(Number.POSITIVE_INFINITY) : number.parse(given, readFile),
    show: (value) => (value === Number.POSITIVE_INFINITY ? "unlimited" : number.show(value)),
  };
}

// More than any machine that one would give to a cache has cores.
const MAX_WORKERS = 256;

/** A number of processes; `auto` is as many as the machine (or the container's share of it) runs at a time. */
export const workerCount: Kind<number> = {
  accepts: `a whole number from 1 to ${MAX_WORKERS}, or auto`,
  parse: (given, readFile) =>
    given.toLowerCase() === "auto"
      ? accept(Math.min(MAX_WORKERS, availableParallelism()))
      : integer(1, MAX_WORKERS).parse(given, readFile),
  show: String,
};

/** One of a closed set of words. */
export function oneOf<const W extends string>(...words: readonly W[]): Kind<W> {
  return {
    accepts: `one of ${words.join(", ")}`,
    parse(given) {
      const word = words.find((candidate) => candidate === given.toLowerCase());
      return word === undefined ? refuse() : accept(word);
    },
    show: (word) => word,
  };
}

/** Yes or no. */
export const flag: Kind<boolean> = {
  accepts: "1 or true, 0 or false",
  parse(given) {
    if (["1", "true"].includes(given.toLowerCase())) return accept(true);
    return ["0", "false"].includes(given.toLowerCase()) ? accept(false) : refuse();
  },
  show: (value) => (value ? "1" : "0"),
};

/** A path in the file system. The shell's `~` is refused: it would name a directory that is called `~`. */
export const path: Kind<string> = {
  accepts: "a path",
  parse(given) {
    if (given.startsWith("~")) return refuse("write the home directory out: only a shell expands ~");
    return given.includes("\0") ? refuse() : accept(given);
  },
  show: (value) => value,
};

/** Anything at all. */
export const text: Kind<string> = { accepts: "text", parse: accept, show: (value) => value };

function parseQuantity(
  given: string,
  units: ReadonlyMap<string, number>,
  suggested: readonly string[],
): Outcome<number> {
  const [, digits = "", unit = ""] = /^(\d{1,16})([A-Za-z]*)$/.exec(given) ?? [];
  if (digits === "") return refuse();
  if (unit === "" && Number(digits) === 0) return accept(0);
  if (unit === "") return refuse(`add a unit: ${suggested.map((name) => digits + name).join(" or ")}`);
  const factor = units.get(unit) ?? Number.NaN;
  const value = Number(digits) * factor;
  return Number.isSafeInteger(value) ? accept(value) : refuse();
}

function showQuantity(value: number, units: ReadonlyMap<string, number>): string {
  if (value === 0) return "0";
  const shown = [...units]
    .filter(([, factor]) => value % factor === 0)
    .map(([unit, factor]) => `${value / factor}${unit}`);
  // Units are listed so that of equally short forms the first is the better one: 1GiB, 10m.
  return shown.reduce((best, candidate) => (candidate.length < best.length ? candidate : best));
}

function showLimits(min: number, max: number, show: (value: number) => string): string {
  const atLeast = min > 0 ? `, at least ${show(min)}` : "";
  return max < Number.MAX_SAFE_INTEGER ? `${atLeast}, at most ${show(max)}` : atLeast;
}
