import { systemClock } from "../../src/clock.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { changeOf } from "./entries.ts";

// A process of its own, for embedded.test.ts: writes generation after generation into the file, in a group of its own
// and in one that it shares, and says each that is written. It is killed, or ends after `count`.

const [file = "", group = "", count = "0"] = process.argv.slice(2);
const store = openEmbeddedStore({
  file,
  maxBytes: 1_000_000_000,
  clock: systemClock,
  onSurvived: (what, key, error) => console.error(what, key, error),
});
// The store's own timers do not keep a process alive.
const alive = setInterval(() => undefined, 60_000);
// Each third body is written in slices; the bytes are the generation's own.
for (let generation = 1; generation <= Number(count); generation += 1) {
  const length = generation % 3 === 0 ? 2_500_000 : 3_000;
  const body = Buffer.alloc(length, `${group} ${generation} `);
  const outcome = await store.write(changeOf(group, "json", generation, body, generation - 1));
  await store.write(changeOf("shared", group, 1, body));
  process.stdout.write(`${generation} ${outcome}\n`);
}
await store.close();
clearInterval(alive);
