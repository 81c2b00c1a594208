import type { UrlMove } from "./url-moves.ts";

/**
 * The move of the files themselves: `/packages/...` of the files host (facts/pypi.md §3).
 *
 * @param from the files host as upstream writes it, without a slash at its end
 * @param to what stands in its place, likewise
 */
export function filesMove(from: string, to: string): UrlMove {
  return { from, path: "/packages/", to };
}

/**
 * The move of the files' attestations: `/integrity/...` of the index host (PEP 740; facts/pypi.md §3).
 *
 * @param from the index host as upstream writes it, without a slash at its end
 * @param to what stands in its place, likewise
 */
export function provenanceMove(from: string, to: string): UrlMove {
  return { from, path: "/integrity/", to };
}
