import { fileURLToPath } from "node:url";
import { freePort } from "../../test/support/free-port.ts";
import { launch, type ServerKind } from "./launch.ts";

const MAIN = fileURLToPath(new URL("bare-main.ts", import.meta.url));

/** Bare `node:http` that writes the bytes and fields of larder's own answers. */
export const bare: ServerKind = {
  name: "node:http",
  rewrites: true,
  missing: () => undefined,
  start: async ({ directory, larder }) => {
    const port = await freePort();
    return await launch({
      name: "node:http",
      command: [process.execPath, MAIN],
      port,
      directory,
      env: { PORT: String(port), BENCH_UPSTREAM: larder },
    });
  },
};
