import cluster from "node:cluster";
import { Handovers } from "./handover.ts";
import { DRAIN, LISTENING } from "./ops.ts";
import type { WorkerEnd, WorkerProcess } from "./pool.ts";
import { WORKER_ARGUMENT } from "./primary-link.ts";
import type { Switchboard } from "./switchboard.ts";

/**
 * Starts workers, which run the same program as this process does.
 *
 * The primary accepts connections and hands them out in turn: so a worker that dies takes with it those that it has,
 * and none that wait.
 *
 * @param onListening told the port that all of them share
 */
export function forker(switchboard: Switchboard, onListening: (port: number) => void): () => WorkerProcess {
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({ args: [...process.argv.slice(2), WORKER_ARGUMENT] });
  const handovers = new Handovers();
  const listening = new Map<number, () => void>();
  switchboard.desk.hear(LISTENING, ({ port }, from) => {
    onListening(port);
    listening.get(from)?.();
    listening.delete(from);
  });
  let unforked = 0;
  return () => {
    let worker;
    try {
      worker = cluster.fork();
    } catch (error) {
      // ENOMEM is thrown, where EAGAIN and the like come as an event.
      unforked += 1;
      return neverForked(-unforked, error);
    }
    switchboard.connect(worker);
    handovers.watch(worker);
    return {
      id: worker.id,
      pid: worker.process.pid ?? 0,
      up: new Promise((resolve) => listening.set(worker.id, resolve)),
      ended: new Promise((resolve) => {
        worker.once("exit", (code: number | null, signal: string | null) => {
          listening.delete(worker.id);
          resolve(endOf(code, signal));
        });
        // Never unheard: the primary would end by it. What goes wrong with one that lives is told by its end.
        worker.on("error", ({ message }) => {
          if (worker.process.pid !== undefined) return;
          listening.delete(worker.id);
          resolve({ code: undefined, signal: undefined, reason: message });
        });
      }),
      drain: (lingers) => switchboard.tell(worker.id, DRAIN, { lingers }),
      kill: () => void worker.process.kill("SIGKILL"),
    };
  };
}

/** @param id that no worker has */
function neverForked(id: number, error: unknown): WorkerProcess {
  const reason = error instanceof Error ? error.message : String(error);
  return {
    id,
    pid: 0,
    up: new Promise(nothing),
    ended: Promise.resolve({ code: undefined, signal: undefined, reason }),
    drain: nothing,
    kill: nothing,
  };
}

function nothing(): void {
  // There is nobody.
}

function endOf(code: number | null, signal: string | null): WorkerEnd {
  return { code: code ?? undefined, signal: signal ?? undefined };
}
