import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** A file cache in a process of its own. */
export interface FileCacheProcess {
  readonly url: string;
  /** The most memory that it has had so far. */
  maxRssBytes(): Promise<number>;
  kill(): Promise<void>;
}

/** Starts one, and waits until it listens and has swept. It does not outlive the test. */
export async function startFileCacheProcess(
  upstreamUrl: string,
  dataDirectory: string,
): Promise<FileCacheProcess> {
  const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), {
    env: { PATH: process.env["PATH"] ?? "", UPSTREAM: upstreamUrl, DATA: dataDirectory },
    execArgv: [],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [{ url }] = (await once(child, "message")) as [{ url: string }];
  return {
    url,
    maxRssBytes: async () => {
      child.send("memory");
      const [{ maxRssBytes }] = (await once(child, "message")) as [{ maxRssBytes: number }];
      return maxRssBytes;
    },
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}
