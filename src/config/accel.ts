import { accept, type Kind, refuse } from "./values.ts";

/** Whether, and how, files are handed over to the front that larder stands behind. */
export type Accel =
  | { readonly kind: "none" }
  /** `prefix` begins and ends with a slash: the front's internal location of the files. */
  | { readonly kind: "x-accel-redirect"; readonly prefix: string }
  | { readonly kind: "x-sendfile" };

const PREFIX = /^\/(?:[A-Za-z0-9._~-]+\/)*$/;
const DEFAULT_PREFIX = "/larder-files/";

/** `none`, `x-accel-redirect`, perhaps with a path prefix after a colon, or `x-sendfile`. */
export const accel: Kind<Accel> = {
  accepts: "none, x-accel-redirect, x-accel-redirect:/prefix/ or x-sendfile",
  parse(given) {
    if (given === "none" || given === "x-sendfile") return accept<Accel>({ kind: given });
    const [kind, prefix = DEFAULT_PREFIX, ...rest] = given.split(":");
    if (kind !== "x-accel-redirect" || rest.length > 0) return refuse();
    if (!PREFIX.test(prefix) || prefix === "/") return refuse("a prefix begins and ends with a slash");
    return accept<Accel>({ kind, prefix });
  },
  show: (value) => (value.kind === "x-accel-redirect" ? `${value.kind}:${value.prefix}` : value.kind),
};
