// A file cache in a process of its own, to be killed or measured: see process.ts.
import { systemClock } from "../../src/clock.ts";
import { startFileCache } from "./file-cache.ts";

const { UPSTREAM = "", DATA = "" } = process.env;
const cache = await startFileCache({ upstreamUrl: UPSTREAM, dataDirectory: DATA, clock: systemClock });
await cache.blobs.swept;
// Looked at often: the kernel's own maximum is that of the parent to begin with.
let maxRssBytes = 0;
const look = (): void => void (maxRssBytes = Math.max(maxRssBytes, process.memoryUsage.rss()));
setInterval(look, 5);
process.on("message", () => {
  look();
  process.send?.({ maxRssBytes });
});
process.send?.({ url: cache.url });
