import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

// A thread of its own for one database (see embedded-checkpoint.ts): moves the write-ahead log into the file whenever
// it is told "checkpoint", answers each with "done", and ends when it is told "close".

const file: unknown = workerData;
if (typeof file !== "string" || parentPort === null)
  throw new Error("expected the database's path, from a parent");
const port = parentPort;
const db = new DatabaseSync(file, { timeout: 1_000 });

port.on("message", (message: unknown) => {
  if (message === "close") {
    db.close();
    port.close();
    return;
  }
  // PASSIVE never waits for readers or writers, nor makes them wait.
  db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  port.postMessage("done");
});
