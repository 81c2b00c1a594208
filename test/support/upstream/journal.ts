import type { IncomingHttpHeaders } from "node:http";

/** A request as it arrived. */
export interface RecordedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** As sent. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Which of the server's connections it came on, counted from 1. */
  readonly connection: number;
  /** Resolves when that connection is closed, by either side. */
  readonly closed: Promise<void>;
}

/** Which requests are meant: those with exactly this path, those that it matches, or all. */
export type PathMatch = string | RegExp | undefined;

export function matches(path: string, match: PathMatch): boolean {
  if (match === undefined) return true;
  return typeof match === "string" ? path === match : match.test(path);
}

interface Waiter {
  readonly count: number;
  readonly match: PathMatch;
  readonly resolve: (request: RecordedRequest) => void;
}

/** Remembers requests in the order of their arrival, and tells who waits for them. */
export class Journal {
  readonly requests: RecordedRequest[] = [];
  readonly #waiters = new Set<Waiter>();

  add(request: RecordedRequest): void {
    this.requests.push(request);
    for (const waiter of this.#waiters) this.#tell(waiter);
  }

  count(match?: PathMatch): number {
    return this.#matching(match).length;
  }

  arrived(count: number, match?: PathMatch): Promise<RecordedRequest> {
    return new Promise((resolve) => {
      const waiter = { count, match, resolve };
      this.#waiters.add(waiter);
      this.#tell(waiter);
    });
  }

  #matching(match: PathMatch): RecordedRequest[] {
    return this.requests.filter((request) => matches(request.path, match));
  }

  #tell(waiter: Waiter): void {
    const request = this.#matching(waiter.match)[waiter.count - 1];
    if (request === undefined) return;
    this.#waiters.delete(waiter);
    waiter.resolve(request);
  }
}
