import { readFileSync } from "node:fs";
import { nearestName, unknownNames } from "./names.ts";
import { OPTIONS, type Config, type Option } from "./options.ts";
import type { Kind, ReadFile } from "./values.ts";
import { ConfigError } from "../errors.ts";
import { redactGiven, redactUserinfo } from "../redact.ts";

export type { Config } from "./options.ts";

/** The environment, as `process.env` has it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One variable, as the README's table shows it. */
export interface OptionRow {
  readonly env: string;
  readonly key: keyof Config;
  /** As a user would write it; "" for unset. */
  readonly fallback: string;
  readonly accepts: string;
  readonly help: string;
  readonly reason: string;
}

type Draft = { -readonly [K in keyof Config]?: Config[K] };

const isKey = (name: string): name is keyof Config => Object.hasOwn(OPTIONS, name);
const KEYS: readonly (keyof Config)[] = Object.keys(OPTIONS).filter(isKey);
const NAMES: readonly string[] = KEYS.map((key) => OPTIONS[key].env);

/**
 * Reads the configuration from the environment. An empty value is as good as none; blanks around a value are
 * dropped (a mounted secret often ends in a newline).
 *
 * @returns the frozen configuration, complete with defaults
 * @throws ConfigError with every fault at once: for each the variable, what was given (secrets masked) and what is
 *   accepted; also for names that begin with `LARDER_` but are none of larder's
 */
export function readConfig(env: Environment, readFile: ReadFile = readText): Config {
  const faults = unknownNames(env, NAMES).map(describeUnknown);
  const draft: Draft = {};
  for (const key of KEYS) readOption(key, env, readFile, draft, faults);
  faults.push(...contradictions(draft));
  if (faults.length > 0 || !isComplete(draft)) throw new ConfigError(faults);
  return Object.freeze(draft);
}

/** The configuration by variable name for the start-up log: what is in force, without secrets, without what is unset. */
export function describeConfig(config: Config): Readonly<Record<string, string>> {
  const shown = KEYS.map((key): [string, string] => [OPTIONS[key].env, show(key, config)]);
  return Object.fromEntries(shown.filter(([, value]) => value !== ""));
}

/** Every variable with its default and its reasons, in the README's order. */
export function optionsTable(): readonly OptionRow[] {
  return KEYS.map((key) => {
    const { env, fallback, kind, help, reason } = OPTIONS[key];
    return { env, key, fallback, accepts: kind.accepts, help, reason };
  });
}

const readText: ReadFile = (path) => readFileSync(path, "utf8");

function readOption<K extends keyof Config>(
  key: K,
  env: Environment,
  readFile: ReadFile,
  draft: Pick<Draft, K>,
  faults: string[],
): void {
  const option: Option<Config[K]> = OPTIONS[key];
  const { name, value } = lookUp(option, env);
  const outcome = option.kind.parse(value === "" ? option.fallback : value, readFile);
  if (outcome.ok) draft[key] = outcome.value;
  else faults.push(describeFault(name, value, option.kind, outcome.hint));
}

function lookUp(option: Option<unknown>, env: Environment): { name: string; value: string } {
  for (const name of option.alias === undefined ? [option.env] : [option.alias, option.env]) {
    const value = env[name]?.trim() ?? "";
    if (value !== "") return { name, value };
  }
  return { name: option.env, value: "" };
}

function describeFault(name: string, given: string, kind: Kind<unknown>, hint: string | undefined): string {
  const masked = kind.mayHoldSecret === true ? redactGiven(given) : redactUserinfo(given);
  const shown = JSON.stringify(masked.length > 100 ? `${masked.slice(0, 100)}…` : masked);
  return `${name}: got ${shown}, expected ${kind.accepts}${hint === undefined ? "" : ` (${hint})`}`;
}

function describeUnknown(name: string): string {
  const nearest = nearestName(name, NAMES);
  return `${name}: no such variable${nearest === undefined ? "" : `, did you mean ${nearest}?`}`;
}

/** What each value alone does not show: settings that cannot work together. */
function contradictions({ upstreamUrl, publicUrl, accel, trustedProxies, s3, s3Redirect }: Draft): string[] {
  const faults: string[] = [];
  if (upstreamUrl !== undefined && upstreamUrl === publicUrl) {
    const given = JSON.stringify(publicUrl);
    faults.push(`LARDER_PUBLIC_URL: got ${given}, the same as LARDER_UPSTREAM: larder would ask itself`);
  }
  if (accel !== undefined && accel.kind !== "none" && trustedProxies?.description === "none") {
    const given = JSON.stringify(OPTIONS.accel.kind.show(accel));
    faults.push(`LARDER_ACCEL: got ${given}, but LARDER_TRUST_PROXY names no front to hand files over to`);
  }
  if (s3Redirect === true && s3 === undefined) {
    faults.push("LARDER_S3_REDIRECT: there is no bucket to send anybody to: set LARDER_S3");
  }
  return faults;
}

const isComplete = (draft: Draft): draft is Config => KEYS.every((key) => key in draft);

function show<K extends keyof Config>(key: K, config: Pick<Config, K>): string {
  const option: Option<Config[K]> = OPTIONS[key];
  return option.kind.show(config[key]);
}
