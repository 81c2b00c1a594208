import { UpstreamUnavailable } from "../errors.ts";

/** What came is not the file: its hash or its length is another. */
export function wrongBytes(message = "the file's BLAKE2b-256 is another"): UpstreamUnavailable {
  return new UpstreamUnavailable("wrong-bytes", message);
}
