import type { ChildProcess, SendHandle, Serializable } from "node:child_process";
import cluster, { type Worker } from "node:cluster";

/** A connection on its way to a worker: node:cluster's own message, and the connection itself. */
interface Handover {
  readonly message: Serializable;
  readonly connection: SendHandle;
}

/**
 * Looks after a connection that is just being handed to a worker when the worker ends. node:cluster
 * forgets it then, and its client would wait until it tires (lib/internal/cluster/round_robin_handle.js, Node 26: the
 * callback of `handoff` is never called). The worker has read nothing of it, for it acknowledges first: so another one
 * gets it, by the same message, and its acknowledgement completes what was begun. Should a later Node write other
 * messages, this does nothing.
 */
export function rescueHandover(worker: Worker): void {
  const { process } = worker;
  const underWay = new Map<number, Handover>();
  const send: ChildProcess["send"] = process.send.bind(process);
  process.send = (message: Serializable, ...rest: never[]) => {
    const [connection] = rest as readonly SendHandle[];
    if (isNewConnection(message)) underWay.set(message.seq, { message, connection });
    return send(message, ...rest);
  };
  process.on("internalMessage", (message: unknown) => {
    if (isAcknowledgement(message)) underWay.delete(message.ack);
  });
  worker.once("exit", () => {
    const heir = Object.values(cluster.workers ?? {}).find(
      (other) => other !== undefined && takesRequests(other),
    );
    for (const { message, connection } of underWay.values()) {
      if (heir === undefined) close(connection);
      else heir.process.send(message, connection);
    }
    underWay.clear();
  });
}

function takesRequests(worker: Worker & { readonly state?: string }): boolean {
  return worker.isConnected() && worker.state === "listening";
}

function isNewConnection(message: Serializable): message is Serializable & { readonly seq: number } {
  return typeof message === "object" && "act" in message && message.act === "newconn" && "seq" in message;
}

function isAcknowledgement(message: unknown): message is { readonly ack: number } {
  return typeof message === "object" && message !== null && "ack" in message;
}

function close(connection: SendHandle): void {
  if (connection !== undefined && "close" in connection) connection.close();
}
