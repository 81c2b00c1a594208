import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A wire to a server that can be made to fail: bytes go through it as they are. */
export interface Wire {
  /** Where it leads to the server from. */
  readonly port: number;
  /** Lets so many bytes of answers through from now on, on all connections together, and then none. */
  holdAfter(bytes: number): void;
  /** Resolves when that many have passed. */
  held(): Promise<void>;
  /** Breaks all connections, and refuses new ones. */
  cut(): Promise<void>;
  close(): Promise<void>;
}

/** Puts one before a port of 127.0.0.1. */
export async function startWire(toPort: number): Promise<Wire> {
  const ends = new Set<Socket>();
  let left = Number.POSITIVE_INFINITY;
  let stopped = Promise.withResolvers<undefined>();
  const server = createServer((near) => {
    const far = connect(toPort, "127.0.0.1");
    near.pipe(far);
    far.on("data", (bytes: Buffer) => {
      const passed = bytes.subarray(0, Math.min(left, bytes.length));
      left -= passed.length;
      near.write(passed);
      if (left > 0) return;
      far.pause(); // and what came with it is lost: the connection is of no more use
      stopped.resolve(undefined);
    });
    for (const [end, other] of [[near, far] as const, [far, near] as const]) {
      ends.add(end);
      end.on("error", () => end.destroy());
      end.on("close", () => {
        ends.delete(end);
        other.destroy();
      });
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const end of ends) end.destroy();
    await closed;
  };
  return {
    port,
    holdAfter: (bytes) => {
      left = bytes;
      stopped = Promise.withResolvers();
    },
    held: () => stopped.promise,
    cut,
    close: cut,
  };
}
