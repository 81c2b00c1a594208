import { fork } from "node:child_process";
import { once } from "node:events";
import { fetchRaw } from "../test/support/client.ts";

/** The upstream of all servers. */
export interface Origin {
  /** Base URL, of index and files alike, without a slash at the end. */
  readonly url: string;
  /** Where its files are. */
  readonly files: Readonly<Record<"small" | "large" | "larger" | "wheel", string>>;
  /** How often a path was asked for, by whomever. */
  count(path: string): Promise<number>;
  /** How many requests came in all, but those of this interface. */
  total(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts the origin. */
export async function startOrigin(): Promise<Origin> {
  const child = fork(new URL("origin-main.ts", import.meta.url), { execArgv: [] });
  process.once("exit", () => child.kill());
  const [{ url }] = (await once(child, "message")) as [{ url: string }];
  const ask = async (what: string): Promise<unknown> =>
    JSON.parse((await fetchRaw(url, `/-/${what}`)).body.toString());
  return {
    url,
    files: (await ask("files")) as Origin["files"],
    count: async (path) => Number(await ask(`count${path}`)),
    total: async () => Number(await ask("total")),
    stop: async () => {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}
