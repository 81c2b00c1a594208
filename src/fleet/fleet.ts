import type { Leases } from "./leases.ts";
import type { Limiter } from "./limiter.ts";
import type { News } from "./news.ts";

/** The upstreams that are treated each for itself: a download must not wait for documents, nor they for it. */
export type UpstreamName = "index" | "metadata" | "files";

/** What the nodes of a fleet share beside the store. */
export interface Fleet {
  /** False where this process is all there is: then nobody else writes to the store. */
  readonly isShared: boolean;
  readonly leases: Leases;
  readonly news: News;
  limiter(upstream: UpstreamName): Limiter;
  close(): Promise<void>;
}
