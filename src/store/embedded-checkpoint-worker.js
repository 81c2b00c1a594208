import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

// A thread of its own for one database (see embedded-checkpoint.ts): moves the write-ahead log into the file whenever
// it is told "checkpoint", answers each with "done", and ends when it is told "close".
//
// JavaScript, alone among larder's sources: each thread that reads TypeScript loads Node's stripper of types for itself,
// which is as large as all the rest of this one (11 MB of 23).

if (typeof workerData !== "string" || parentPort === null)
  throw new Error("expected the database's path, from a parent");
const port = parentPort;
const db = new DatabaseSync(workerData, { timeout: 1_000 });

port.on("message", (message) => {
  if (message === "close") {
    db.close();
    port.close();
    return;
  }
  // PASSIVE never waits for readers or writers, nor makes them wait.
  db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  port.postMessage("done");
});
