import type { IncomingMessage } from "node:http";
import { type PublicBaseOptions, publicBase } from "./public-base.ts";

/** Where the file URLs in documents point. */
export type FilesTarget =
  /** As upstream wrote them: the bytes stay untouched. */
  | { readonly kind: "upstream" }
  /** To a mirror; undefined while none is healthy: as upstream wrote them. */
  | { readonly kind: "mirror"; readonly current: () => string | undefined }
  /** To larder itself. */
  | { readonly kind: "larder" };

export interface UrlBasesOptions {
  readonly filesTarget: FilesTarget;
  readonly publicBase: PublicBaseOptions;
}

/** What stands before `/packages/` and `/integrity/` in a document; undefined leaves a URL as upstream wrote it. */
export interface UrlBases {
  readonly filesBase: string | undefined;
  readonly integrityBase: string | undefined;
}

/** For the JSON API, whose URLs are absolute: clients compare them with the index's, once resolved (rule 15). */
export function absoluteBases(
  request: IncomingMessage,
  { filesTarget, publicBase: options }: UrlBasesOptions,
): UrlBases {
  switch (filesTarget.kind) {
    case "upstream":
      return { filesBase: undefined, integrityBase: undefined };
    case "mirror":
      return { filesBase: filesTarget.current(), integrityBase: undefined };
    case "larder": {
      const base = publicBase(request, options);
      return { filesBase: base, integrityBase: base };
    }
  }
}

/**
 * For a page `/simple/<project>/`: files relative to it, so that they hold under every name larder has. Absolute where
 * the base is configured, for then JSON API and index must agree on that (rule 15), and where the page was asked for by a
 * path that is none of its own, such as `/simple//<project>/`, against which clients would resolve it. Attestations are
 * always absolute: pypi-simple refuses a page where they are not.
 *
 * @param isCanonical whether the client's path is the page's own
 */
export function basesFromPage(
  request: IncomingMessage,
  options: UrlBasesOptions,
  isCanonical: boolean,
): UrlBases {
  const absolute = absoluteBases(request, options);
  const { filesTarget, publicBase: base } = options;
  if (filesTarget.kind !== "larder" || base.publicUrl !== undefined || !isCanonical) return absolute;
  return { ...absolute, filesBase: PAGE_TO_ROOT };
}

const PAGE_TO_ROOT = "../..";
