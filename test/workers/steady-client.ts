import { Agent, request } from "node:http";

/** A client that asks again and again, one request after the other, on connections of its own. */
export interface SteadyClient {
  /** Its User-Agent: the log tells by it which worker answers. */
  readonly name: string;
  readonly answered: () => number;
  /** What went wrong: an error's code, or a status other than 200. */
  readonly failures: readonly string[];
  /** Resolves once so many more requests have been answered. */
  more(answers: number): Promise<void>;
  stop(): Promise<void>;
}

/** @param keepAlive one connection for all, or one for each request */
export function startClient(url: string, path: string, name: string, keepAlive: boolean): SteadyClient {
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  const failures: string[] = [];
  let answered = 0;
  let isStopped = false;
  let onAnswer = (): void => undefined;
  const run = async (): Promise<void> => {
    while (!isStopped) {
      const failure = await ask(agent, url + path, name);
      if (failure === undefined) answered += 1;
      else failures.push(failure);
      onAnswer();
    }
  };
  const running = run();
  return {
    name,
    answered: () => answered,
    failures,
    more: (answers) => {
      const until = answered + answers;
      return new Promise((resolve) => {
        const before = onAnswer;
        onAnswer = () => {
          before();
          if (answered >= until) resolve();
        };
      });
    },
    stop: async () => {
      isStopped = true;
      await running;
      agent.destroy();
    },
  };
}

/** @returns what went wrong */
function ask(agent: Agent, url: string, name: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const outgoing = request(url, { agent, headers: { "user-agent": name } }, (incoming) => {
      incoming.resume();
      incoming.once("error", (error) => resolve(error.message));
      incoming.once("end", () => {
        const isWhole = incoming.complete && incoming.statusCode === 200;
        resolve(isWhole ? undefined : `status ${incoming.statusCode}`);
      });
    });
    outgoing.once("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
    outgoing.end();
  });
}
