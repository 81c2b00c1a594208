import type { ServerResponse } from "node:http";
import type { Answer } from "./answers.ts";

/** Holds a body back from some byte on. */
export interface BodyGate {
  /** Resolves when an answer has come to the gate: all before it has been handed to the socket. */
  readonly reached: Promise<void>;
  /** Lets everything through, now and later. */
  release(): void;
}

interface Held {
  readonly atByte: number;
  readonly reach: () => void;
  readonly opened: Promise<void>;
}

/** Gates within bodies, by path. A byte is counted from the file's first, also in a 206. */
export class BodyGates {
  readonly #held = new Map<string, Held[]>();

  hold(path: string, atByte: number): BodyGate {
    const reached = Promise.withResolvers<undefined>();
    const opened = Promise.withResolvers<undefined>();
    const gate: Held = { atByte, reach: () => reached.resolve(undefined), opened: opened.promise };
    this.#held.set(path, [...(this.#held.get(path) ?? []), gate]);
    return {
      reached: reached.promise,
      release: () => {
        const others = (this.#held.get(path) ?? []).filter((each) => each !== gate);
        if (others.length === 0) this.#held.delete(path);
        else this.#held.set(path, others);
        opened.resolve(undefined);
      },
    };
  }

  /** Sends a body, waiting at each gate in its way. */
  async send(path: string, answer: Answer, response: ServerResponse): Promise<void> {
    const { body, headers } = answer;
    const startAt = Number(/^bytes (\d+)-/.exec(headers["content-range"] ?? "")?.[1] ?? 0);
    let sent = 0;
    if (!this.#held.has(path)) return void response.end(body);
    const inOrder = [...(this.#held.get(path) ?? [])].sort((a, b) => a.atByte - b.atByte);
    response.flushHeaders();
    for (const gate of inOrder) {
      const until = Math.min(Math.max(gate.atByte - startAt, sent), body.length);
      response.write(body.subarray(sent, until));
      sent = until;
      if (sent === body.length) break;
      gate.reach();
      await gate.opened;
    }
    response.end(body.subarray(sent));
  }
}
