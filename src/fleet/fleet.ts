import type { Leases } from "./leases.ts";
import type { News } from "./news.ts";

/** What the nodes of a fleet share beside the store. */
export interface Fleet {
  /** False where this process is all there is: then nobody else writes to the store. */
  readonly isShared: boolean;
  readonly leases: Leases;
  readonly news: News;
  close(): Promise<void>;
}
