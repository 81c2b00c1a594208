// A process of its own, for whole-line.test.ts: logs lines of all lengths to a stdout that it shares.
import { setImmediate as nextTurn } from "node:timers/promises";
import { createLog } from "../../src/ops/log.ts";

const worker = Number(process.argv[2]);
const log = createLog({ level: "info", format: "json", isTerminal: false, isShared: true, worker });
for (let i = 0; i < 2_000; i += 1) {
  log.info({ i, agent: "ä".repeat((i * 37) % 6_000) }, "request");
  if (i % 10 === 0) await nextTurn();
}
