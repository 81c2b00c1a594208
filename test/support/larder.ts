import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compose } from "../../src/compose/compose.ts";
import { readConfig } from "../../src/config/config.ts";
import { fetchRaw, type Received, type Sent } from "./client.ts";
import { TestClock } from "./clock.ts";
import type { FakeUpstream } from "./upstream.ts";

/** A larder under test: the real one, on a real socket, with a clock that the test owns. */
export interface TestLarder {
  readonly url: string;
  readonly clock: TestClock;
  readonly dataDirectory: string;
  /** What it has logged, one object a line. */
  readonly log: readonly Record<string, unknown>[];
  get(path: string, sent?: Sent): Promise<Received>;
  /** Resolves with a log line that fits, as soon as there is one. */
  logged(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  /** Closes it, and leaves the data directory to the next one. */
  stop(): Promise<void>;
  /** Closes it for good. */
  close(): Promise<void>;
}

export interface TestLarderOptions {
  readonly upstream: Pick<FakeUpstream, "url">;
  readonly env?: Record<string, string>;
  readonly clock?: TestClock;
  /** The data directory of a larder that was stopped. */
  readonly dataDirectory?: string;
}

/** Starts a larder in this process, in front of a fake upstream. */
export async function startLarder(options: TestLarderOptions): Promise<TestLarder> {
  const clock = options.clock ?? new TestClock(Date.now());
  const dataDirectory = options.dataDirectory ?? mkdtempSync(join(tmpdir(), "larder-test-"));
  const config = readConfig({
    PORT: "0",
    HOST: "127.0.0.1",
    LARDER_UPSTREAM: options.upstream.url,
    LARDER_DATA: dataDirectory,
    LARDER_LOG_FORMAT: "json",
    // Bodies are compared with upstream's, and ports differ from start to start; other tests say otherwise.
    LARDER_FILES: "upstream",
    ...options.env,
  });
  const log: Record<string, unknown>[] = [];
  const watchers = new Set<() => void>();
  const larder = compose(config, clock, {
    write: (line) => {
      log.push(JSON.parse(line) as Record<string, unknown>);
      for (const watcher of watchers) watcher();
    },
  });
  const url = `http://127.0.0.1:${await larder.listen()}`;
  const stop = () => larder.close();
  return {
    url,
    clock,
    dataDirectory,
    log,
    get: (path, sent) => fetchRaw(url, path, sent),
    logged: (fits) =>
      new Promise((resolve) => {
        const look = (): void => {
          const line = log.find(fits);
          if (line === undefined) return;
          watchers.delete(look);
          resolve(line);
        };
        watchers.add(look);
        look();
      }),
    stop,
    close: async () => {
      await stop();
      rmSync(dataDirectory, { recursive: true, force: true });
    },
  };
}
