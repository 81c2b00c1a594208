import type { ChildProcess, SendHandle, Serializable } from "node:child_process";
import type { Worker } from "node:cluster";

/** A connection on its way to a worker: node:cluster's own message, and the connection itself. */
interface Handover {
  readonly message: Serializable;
  readonly connection: SendHandle;
}

/**
 * Looks after connections that are just being handed to a worker when it ends, or when it has stopped taking any.
 * node:cluster forgets such a one (lib/internal/cluster/round_robin_handle.js, Node 26: the callback of `handoff` is
 * never called, or queues it for nobody), and its client would wait until it tires. A worker that ends has read
 * nothing of it, for it acknowledges first: so another one gets it, by the same message, and its acknowledgement
 * completes what was begun. Where there is no other, it is closed. Should a later Node write other messages, this does
 * nothing.
 */
export class Handovers {
  readonly #takers = new Set<Worker>();

  /** To be called with every worker as it is forked. */
  watch(worker: Worker): void {
    const { process } = worker;
    const underWay = new Map<number, Handover>();
    const send: ChildProcess["send"] = process.send.bind(process);
    process.send = (message: Serializable, ...rest: never[]) => {
      const [connection] = rest as readonly SendHandle[];
      if (isNewConnection(message)) underWay.set(message.seq, { message, connection });
      return send(message, ...rest);
    };
    process.on("internalMessage", (message: unknown) => {
      if (isAct(message, "listening")) this.#takers.add(worker);
      else if (isAct(message, "close")) this.#takers.delete(worker);
      else if (isAcknowledgement(message)) {
        const handover = underWay.get(message.ack);
        underWay.delete(message.ack);
        if (message.accepted === false && this.#takers.size === 0) close(handover?.connection);
      }
    });
    worker.once("exit", () => {
      this.#takers.delete(worker);
      for (const handover of underWay.values()) this.#passOn(handover);
      underWay.clear();
    });
  }

  #passOn({ message, connection }: Handover): void {
    const heir = [...this.#takers].find((other) => other.isConnected());
    if (heir === undefined) close(connection);
    else heir.process.send(message, connection);
  }
}

function isNewConnection(message: Serializable): message is Serializable & { readonly seq: number } {
  return typeof message === "object" && "act" in message && message.act === "newconn" && "seq" in message;
}

function isAcknowledgement(
  message: unknown,
): message is { readonly ack: number; readonly accepted?: boolean } {
  return typeof message === "object" && message !== null && "ack" in message;
}

function isAct(message: unknown, act: string): boolean {
  return typeof message === "object" && message !== null && "act" in message && message.act === act;
}

function close(connection: SendHandle): void {
  if (connection !== undefined && "close" in connection) connection.close();
}
