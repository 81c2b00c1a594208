import { watchOnce } from "../../test/support/loop-watch.ts";

/** Loaded before larder's main: between the messages "start" and "stop" it watches how long the loop is held. */
let stop: (() => void) | undefined;

process.on("message", (message) => {
  if (message === "stop") return stop?.();
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  void watchOnce(() => stopped).then(({ longestMs, longestWallMs }) =>
    process.send?.({ longestMs, longestWallMs }),
  );
});
process.channel?.unref();
