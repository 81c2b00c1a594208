import type { Kind } from "./values.ts";

/** One environment variable: the single source of its parsing, its documentation and its line in the start-up log. */
export interface Option<T> {
  readonly env: string;
  /** Another spelling of the same name, which wins where both are set. */
  readonly alias?: string;
  readonly kind: Kind<T>;
  /** The default, written as a user would; "" for unset. */
  readonly fallback: string;
  /** What it does. */
  readonly help: string;
  /** Why the default is what it is. */
  readonly reason: string;
}
