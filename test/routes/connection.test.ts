import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import fc from "fast-check";
import { Hono } from "hono";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CacheStatus } from "../../src/cache/cache-status.ts";
import {
  type Bindings,
  type DoneExchange,
  type Exchange,
  exchangeOf,
  Outgoing,
  type PlainExchange,
} from "../../src/routes/exchange.ts";
import type { FilesTarget } from "../../src/routes/url-bases.ts";
import { publicBase } from "../../src/routes/public-base.ts";
import { Repeats } from "../../src/routes/repeats.ts";
import { send } from "../../src/routes/send.ts";
import { SAFE_METHODS } from "../../src/routes/exchange.ts";
import { createServer, type LarderServer } from "../../src/routes/server.ts";
import { Shortcuts } from "../../src/routes/shortcuts.ts";

const HIT: CacheStatus = { kind: "hit", ttlMs: 60_000 };
const TRUSTED = "127.0.0.2";

let server: LarderServer;
let port: number;
/** Of each request: who had it answered, and where it went. */
let ways: string[];
let done: { url: string | undefined; status: number; isFinished: boolean; route: string }[];
/** How many requests came to the router. */
let asked: number;
let isReady: boolean;
let bodyOf: (path: string) => Buffer | string;
let mirror: string | undefined;
/** When what is not ready is made; undefined for at once. */
let made: Promise<unknown> | undefined;
/** Of the server's sockets, by the client's port: how many bytes were heard. */
let heard: Map<number | undefined, number>;
/** The server's sockets, likewise. */
const serverSockets = new Map<number | undefined, Socket>();
const sockets = new Set<Socket>();

beforeEach(async () => {
  ways = [];
  done = [];
  asked = 0;
  isReady = true;
  mirror = undefined;
  made = undefined;
  heard = new Map();
  bodyOf = (path) => `body of ${path}`;
  const trust = {
    publicUrl: undefined,
    isTrustedPeer: (address: string) => address === TRUSTED,
  };
  const filesTarget: FilesTarget = { kind: "mirror", current: () => mirror };
  const shortcuts = new Shortcuts({
    filesTarget,
    publicBase: trust,
    onError: (_, error) => {
      throw error;
    },
  });
  const app = new Hono<{ Bindings: Bindings }>();
  app.all("*", (context) => {
    asked++;
    const first = exchangeOf(context);
    const path = first.incoming.url ?? "";
    // What was read from a request beyond its conditions, as routes do.
    const read = `${path} ${publicBase(first.incoming, trust)} ${mirror ?? ""}`;
    const answer = (exchange: PlainExchange, how: string): Response => {
      ways.push(`${how} ${exchange.outgoing instanceof Outgoing ? "http" : "repeat"}`);
      const { headers } = exchange.incoming;
      if (headers["if-none-match"] === '"x"') {
        return send(exchange, "test", {
          status: 304,
          fields: ["ETag", '"x"'],
          body: undefined,
          cacheStatus: HIT,
        });
      }
      const fields = ["Content-Type", "text/plain", "ETag", '"x"', "X-Read", read];
      return send(exchange, "test", { status: 200, fields, body: bodyOf(path), cacheStatus: HIT });
    };
    return shortcuts.serve(first, {
      ready: (exchange) => (isReady ? answer(exchange, "ready") : undefined),
      later: async (exchange: Exchange) => {
        if (made !== undefined) ways.push("asked");
        await made;
        return answer(exchange, "later");
      },
    });
  });
  server = createServer({
    fetch: app.fetch,
    shortcuts,
    repeats: new Repeats({ filesTarget, ...trust }),
    prefix: "",
    methods: SAFE_METHODS,
    refusalOf: () => "no",
    onDone: ({ incoming, outgoing }: DoneExchange) => {
      const { statusCode: status, writableFinished: isFinished, outcome } = outgoing;
      done.push({ url: incoming.url, status, isFinished, route: outcome.route });
    },
  });
  server.http.on("connection", (socket: Socket) => {
    const { remotePort } = socket;
    serverSockets.set(remotePort, socket);
    socket.on("data", (bytes: Buffer) => heard.set(remotePort, (heard.get(remotePort) ?? 0) + bytes.length));
  });
  server.http.listen(0, "127.0.0.1");
  await once(server.http, "listening");
  ({ port } = server.http.address() as AddressInfo);
});

afterEach(async () => {
  const { drained, cutOff } = server.drain();
  cutOff();
  await drained;
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});

function serverSocketOf({ port: of }: Client): Socket {
  const socket = serverSockets.get(of);
  if (socket === undefined) throw new Error("it is not connected");
  return socket;
}

/** A client that writes what it is told to, piece by piece, and reads answers. */
class Client {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  #sentBytes = 0;
  port: number | undefined;
  #isOver = false;
  #wake = (): void => undefined;

  constructor(localAddress = "127.0.0.1") {
    this.socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
    sockets.add(this.socket);
    this.socket.on("connect", () => (this.port = this.socket.localPort));
    this.socket.on("error", () => undefined);
    this.socket.on("data", (bytes: Buffer) => {
      this.#chunks.push(bytes);
      this.#wake();
    });
    this.socket.on("close", () => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** Sends it as one piece, and waits until the server has heard it. */
  async write(piece: string): Promise<void> {
    this.socket.write(piece, "latin1");
    this.#sentBytes += piece.length;
    await expect
      .poll(() => heard.get(this.port) ?? 0, { interval: 1 })
      .toBeGreaterThanOrEqual(this.#sentBytes);
  }

  /** The next answer: its head and its body. */
  async read(isHead = false): Promise<{ head: string; body: string }> {
    const headEnd = (await this.#until((held) => held.indexOf("\r\n\r\n") + 1)) - 1;
    const head = this.#take(headEnd + 4).slice(0, -4);
    const bytes = isHead ? 0 : Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    while (this.#chunks.reduce((sum, { length }) => sum + length, 0) < bytes) await this.#more();
    return { head, body: this.#take(bytes) };
  }

  async #until(found: (held: Buffer) => number): Promise<number> {
    for (;;) {
      const at = found(Buffer.concat(this.#chunks));
      if (at > 0) return at;
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    if (this.#isOver) throw new Error("the connection ended in the middle of an answer");
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #take(bytes: number): string {
    const held = Buffer.concat(this.#chunks);
    this.#chunks.splice(0, this.#chunks.length, held.subarray(bytes));
    return held.toString("latin1", 0, bytes);
  }

  async ask(piece: string): Promise<{ head: string; body: string }> {
    await this.write(piece);
    return await this.read(piece.startsWith("HEAD"));
  }

  async closed(): Promise<void> {
    if (!this.#isOver) await once(this.socket, "close");
  }
}

const request = (path: string, fields: readonly string[] = [], method = "GET"): string =>
  [`${method} ${path} HTTP/1.1`, "Host: larder.corp", ...fields, "", ""].join("\r\n");

const A = request("/a");
const B = request("/b");

/** As it is apart from when it was made. */
const undated = ({ head, body }: { head: string; body: string }): string =>
  `${head.replace(/^Date: .*$/m, "Date:")}\r\n\r\n${body}`;

describe("a request that came before in the same bytes", () => {
  it("is answered as before, to the byte, without being read again", async () => {
    const client = new Client();
    for (const fields of [[], ['If-None-Match: "x"'], ["User-Agent: pip/26.1"]])
      for (const method of ["GET", "HEAD"]) {
        ways = [];
        const piece = request("/a", fields, method);
        const first = await client.ask(piece);
        expect(undated(await client.ask(piece))).toBe(undated(first));
        expect(ways).toEqual(["ready http", "ready repeat"]);
      }
  });

  it("is known from every connection, and its connection can go either way, again and again", async () => {
    await new Client().ask(A);
    const client = new Client();
    for (const piece of [A, A, B, A, B, A]) {
      const path = piece === A ? "/a" : "/b";
      expect((await client.ask(piece)).body).toBe(`body of ${path}`);
    }
    expect(ways.map((way) => way.split(" ")[1])).toEqual([
      "http",
      "repeat",
      "repeat",
      "http",
      "repeat",
      "repeat",
      "repeat",
    ]);
  });

  it("is read again where memory cannot answer it, and known again afterwards", async () => {
    const client = new Client();
    await client.ask(A);
    isReady = false;
    expect((await client.ask(A)).body).toBe("body of /a");
    isReady = true;
    await client.ask(A);
    expect(ways).toEqual(["ready http", "later http", "ready repeat"]);
  });

  it("is told of to log and metrics once, with all that they want", async () => {
    const client = new Client();
    for (let times = 0; times < 3; times++) await client.ask(A);
    await expect.poll(() => done.length).toBe(3);
    for (const each of done)
      expect(each).toEqual({ url: "/a", status: 200, isFinished: true, route: "test" });
  });

  it("is read where it comes in two pieces, or together with another, and known when it comes alone", async () => {
    const client = new Client();
    await client.ask(A);
    await client.write(A.slice(0, 20));
    await client.write(A.slice(20));
    expect((await client.read()).body).toBe("body of /a");
    await client.write(A + B);
    expect([(await client.read()).body, (await client.read()).body]).toEqual(["body of /a", "body of /b"]);
    await client.ask(A);
    expect(ways.map((way) => way.split(" ")[1])).toEqual(["http", "http", "http", "http", "repeat"]);
    // A tail is no request, though one ended in it.
    expect((await new Client().ask(A.slice(20))).head).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("is not known by what came with it and was no request", async () => {
    const garbage = `${A}0\r\n\r\n`;
    for (let times = 0; times < 3; times++) {
      const client = new Client();
      expect((await client.ask(garbage)).body).toBe("body of /a");
      expect((await client.read()).head).toMatch(/^HTTP\/1\.1 400 /);
      await client.closed();
    }
    expect(ways).toEqual(["ready http", "ready http", "ready http"]);
  });

  it("is a body where it follows a head that announces one", async () => {
    const client = new Client();
    await client.ask(A);
    await client.ask(A);
    ways = [];
    await client.write(request("/b", [`Content-Length: ${A.length}`]));
    expect((await client.read()).body).toBe("body of /b");
    await client.write(A);
    // The body of the one before: whatever comes next is answered first.
    expect((await client.ask(request("/c"))).body).toBe("body of /c");
    await client.write(request("/b", ["Transfer-Encoding: chunked"]) + `${A.length.toString(16)}\r\n`);
    expect((await client.read()).body).toBe("body of /b");
    await client.write(A);
    await client.write("\r\n0\r\n\r\n");
    expect((await client.ask(request("/d"))).body).toBe("body of /d");
    expect(ways).toEqual(["ready http", "ready http", "ready http", "ready http"]);
  });

  it("is one request, however the bytes of a connection are cut", async () => {
    const body = A + B;
    const pieces = {
      [A]: "/a",
      [B]: "/b",
      [request("/a", [], "HEAD")]: "",
      [request("/c", [`Content-Length: ${body.length}`]) + body]: "/c",
      [request("/d", ["Transfer-Encoding: chunked"]) + `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`]:
        "/d",
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...Object.keys(pieces)), { minLength: 1, maxLength: 12 }),
        fc.array(fc.oneof(fc.nat({ max: 400 }), fc.constant(A.length)), { maxLength: 12 }),
        async (requests, cuts) => {
          const client = new Client();
          const all = requests.join("");
          const ends = [...new Set(cuts.map((_, i) => cuts.slice(0, i + 1).reduce((a, b) => a + b)))];
          let at = 0;
          for (const end of [...ends.filter((each) => each > 0 && each < all.length), all.length]) {
            await client.write(all.slice(at, end));
            at = end;
          }
          for (const each of requests) {
            const { head, body: got } = await client.read(each.startsWith("HEAD"));
            expect(head).toMatch(/^HTTP\/1\.1 200 /);
            expect(got).toBe(pieces[each] === "" ? "" : `body of ${pieces[each]}`);
          }
          client.socket.destroy();
        },
      ),
      { numRuns: 150 },
    );
    expect(ways.some((way) => way.endsWith("repeat"))).toBe(true);
  });

  it.each([
    ["Connection: close", request("/a", ["Connection: close"])],
    ["HTTP/1.0", "GET /a HTTP/1.0\r\nHost: larder.corp\r\n\r\n"],
  ])("ends its connection with %s each time", async (_, piece) => {
    for (let times = 0; times < 3; times++) {
      const client = new Client();
      const { head } = await client.ask(piece);
      expect(head).toMatch(/^connection: close$/im);
      await client.closed();
    }
    expect(ways).toEqual(["ready http", "ready http", "ready http"]);
  });

  it.each([
    ["a body", request("/a", ["Content-Length: 4"]) + "body"],
    ["a length of nothing", request("/a", ["Content-Length: 0"])],
    ["an upgrade", request("/a", ["Connection: Upgrade", "Upgrade: websocket"])],
    ["an expectation", request("/a", ["Expect: something"])],
    ["another method", request("/a", [], "OPTIONS")],
    ["more than 2 KiB of head", request("/a", [`X-Long: ${"x".repeat(2_048)}`])],
  ])("is read each time with %s", async (_, piece) => {
    const client = new Client();
    const heads = [];
    for (let times = 0; times < 3; times++) heads.push((await client.ask(piece)).head.split("\r\n")[0]);
    expect(new Set(heads).size).toBe(1);
    expect(ways.filter((way) => way.endsWith("repeat"))).toEqual([]);
  });

  it("is another one from a peer that may say more", async () => {
    const piece = request("/a", ["X-Forwarded-Proto: https", "X-Forwarded-Host: pypi.corp"]);
    const [known, unknown] = [new Client(TRUSTED), new Client()];
    for (let times = 0; times < 3; times++) {
      expect((await known.ask(piece)).head).toContain("X-Read: /a https://pypi.corp ");
      expect((await known.ask(piece)).head).toContain("X-Read: /a https://pypi.corp ");
      expect((await unknown.ask(piece)).head).toContain("X-Read: /a http://larder.corp ");
      expect((await unknown.ask(piece)).head).toContain("X-Read: /a http://larder.corp ");
    }
    expect(ways.filter((way) => way.endsWith("repeat"))).toHaveLength(6);
  });

  it("is another one when the mirror of the files is", async () => {
    const client = new Client();
    for (const each of ["http://one", "http://two", "http://one"]) {
      mirror = each;
      for (let times = 0; times < 2; times++)
        expect((await client.ask(A)).head).toContain(`X-Read: /a http://larder.corp ${each}`);
    }
    expect(ways.map((way) => way.split(" ")[1])).toEqual([
      "http",
      "repeat",
      "http",
      "repeat",
      "http",
      "repeat",
    ]);
  });
});

// More than the buffers of both sockets take.
const LARGE = Buffer.alloc(16 * 2 ** 20, "larder");

describe("an answer to what came before", () => {
  it("waits for a client that is slow to take it, and is over when it has left", async () => {
    bodyOf = () => LARGE;
    const client = new Client();
    await client.ask(A);
    client.socket.pause();
    client.socket.write(A);
    await expect.poll(() => ways).toEqual(["ready http", "ready repeat"]);
    expect(done).toHaveLength(1);
    // It may ask for more meanwhile, and gets it in its turn: by who knows how to wait for a slow client.
    bodyOf = () => "small";
    client.socket.write(A);
    await expect.poll(() => ways).toEqual(["ready http", "ready repeat", "ready http"]);
    client.socket.resume();
    expect((await client.read()).body.length).toBe(LARGE.length);
    expect((await client.read()).body).toBe("small");
    await expect.poll(() => done.map(({ isFinished }) => isFinished)).toEqual([true, true, true]);
  });

  it("is told of as broken off where its client goes away before its end", async () => {
    bodyOf = () => LARGE;
    const client = new Client();
    await client.ask(A);
    client.socket.pause();
    client.socket.write(A);
    await expect.poll(() => ways).toHaveLength(2);
    client.socket.resetAndDestroy();
    await expect.poll(() => done.map(({ isFinished }) => isFinished)).toEqual([true, false]);
  });

  it("comes whole to a client that has said its last word", async () => {
    await new Client().ask(A);
    const client = new Client();
    client.socket.end(A);
    expect((await client.read()).body).toBe("body of /a");
    await client.closed();
    expect(ways).toEqual(["ready http", "ready repeat"]);
  });
});

/** What the timer of its connection does when nothing has come or left for long. */
function timeOut(client: Client): void {
  serverSocketOf(client).emit("timeout");
}

/** A client that has asked for what is large, and takes nothing of it. */
async function standStill(way: "http" | "repeat"): Promise<Client> {
  bodyOf = () => LARGE;
  if (way === "repeat") await new Client().ask(A);
  ways = [];
  done = [];
  const client = new Client();
  client.socket.pause();
  client.socket.write(A);
  await expect.poll(() => ways).toEqual([`ready ${way}`]);
  return client;
}

describe("a connection on which nothing comes", () => {
  it("is closed, whoever answered on it last", async () => {
    const [silent, read, repeated] = [new Client(), new Client(), new Client()];
    await once(silent.socket, "connect");
    await expect.poll(() => serverSockets.get(silent.port)).toBeDefined();
    await read.ask(A);
    await repeated.ask(A);
    expect(ways).toEqual(["ready http", "ready repeat"]);
    for (const client of [silent, read, repeated]) {
      timeOut(client);
      await client.closed();
    }
  });

  it.each(["http", "repeat"] as const)(
    "goes on where its client has not taken all of its answer, and is an idle one afterwards (%s)",
    async (way) => {
      const client = await standStill(way);
      timeOut(client);
      client.socket.resume();
      expect((await client.read()).body.length).toBe(LARGE.length);
      await expect.poll(() => serverSocketOf(client).timeout).toBeLessThan(100_000);
    },
  );
});

describe("an answer of which a client takes nothing", () => {
  it.each(["http", "repeat"] as const)("is given up in the end (%s), and is none that left", async (way) => {
    const client = await standStill(way);
    timeOut(client);
    expect(serverSocketOf(client).timeout).toBe(600_000);
    expect(serverSocketOf(client).destroyed).toBe(false);
    timeOut(client);
    await expect.poll(() => done.map(({ isFinished }) => isFinished)).toEqual([false]);
    expect(serverSocketOf(client).destroyed).toBe(true);
  });

  it("is given up, too, where it is not the first that node:http writes on its connection", async () => {
    isReady = false;
    const client = new Client();
    await client.ask(A);
    bodyOf = () => LARGE;
    client.socket.pause();
    client.socket.write(A);
    await expect.poll(() => ways).toEqual(["later http", "later http"]);
    expect(serverSocketOf(client).timeout).toBe(600_000);
    timeOut(client);
    await expect.poll(() => serverSocketOf(client).destroyed).toBe(true);
  });

  it("is waited for while it is being made, and then its connection is an idle one again", async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    isReady = false;
    made = promise;
    const client = new Client();
    client.socket.write(A);
    await expect.poll(() => ways).toEqual(["asked"]);
    for (let i = 0; i < 3; i++) timeOut(client);
    resolve(undefined);
    expect((await client.read()).body).toBe("body of /a");
    await expect.poll(() => serverSocketOf(client).timeout).toBeLessThan(100_000);
  });
});

describe("a way to an answer", () => {
  it("is not remembered where that would take long to write down", async () => {
    const client = new Client();
    const isKnown = async (accept: string): Promise<boolean> => {
      const routed = asked;
      for (let times = 0; times < 2; times++) await client.ask(request("/a", [`Accept: ${accept}`]));
      return asked - routed === 1;
    };
    expect(await isKnown("text/html")).toBe(true);
    expect(await isKnown("x".repeat(4_000))).toBe(false);
  });
});

describe("what is no request", () => {
  it("is answered after what was asked before, of which the client may be slow to take all", async () => {
    bodyOf = () => LARGE;
    const client = new Client();
    client.socket.pause();
    client.socket.write(A);
    await expect.poll(() => ways).toEqual(["ready http"]);
    await client.write("garbage\r\n\r\n");
    client.socket.resume();
    expect((await client.read()).body.length).toBe(LARGE.length);
    expect((await client.read()).head).toMatch(/^HTTP\/1\.1 400 /);
    await client.closed();
  });

  it("breaks a connection on which an answer is awaited, and is not that answer", async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    isReady = false;
    made = promise;
    const client = new Client();
    await client.write(A);
    await client.write("garbage\r\n\r\n");
    await client.closed();
    resolve(undefined);
    await expect(client.read()).rejects.toThrow("ended");
  });

  it("is refused as a tunnel would be, in words", async () => {
    const client = new Client();
    const { head } = await client.ask("CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 405 /);
    expect(head).toMatch(/^allow: GET, HEAD, OPTIONS$/im);
    await client.closed();
  });

  it.each(["999.1.1.1", "larder.corp:99999", "[1:2]"])("is refused under the name %s", async (host) => {
    const { head } = await new Client().ask(`GET /a HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(head).toMatch(/^cache-status: larder; detail=local$/im);
  });
});

describe("requests that do not wait for answers", () => {
  it("are answered in their order, sixteen of them; then the connection ends", async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    isReady = false;
    made = promise;
    const client = new Client();
    const paths = Array.from({ length: 500 }, (_, i) => `/${i}`);
    await client.write(paths.map((path) => request(path)).join(""));
    resolve(undefined);
    for (const path of paths.slice(0, 16)) expect((await client.read()).body).toBe(`body of ${path}`);
    const { head } = await client.read();
    expect(head).toMatch(/^HTTP\/1\.1 429 /);
    expect(head).toMatch(/^connection: close$/im);
    await client.closed();
    expect(ways.filter((way) => way === "asked")).toHaveLength(16);
  });
});

describe("a server that is to end", () => {
  it("answers once more on each connection, and says that it was the last time", async () => {
    const client = new Client();
    await client.ask(A);
    await client.ask(A);
    const { drained } = server.drain();
    const { head } = await client.ask(A);
    expect(head).toMatch(/^connection: close$/im);
    await client.closed();
    await drained;
  });

  it("closes connections that are idle, whoever answered on them, and no other", async () => {
    const [silent, read, repeated, slow, begun] = Array.from({ length: 5 }, () => new Client());
    await once(silent!.socket, "connect");
    await read!.ask(A);
    await repeated!.ask(A);
    bodyOf = () => Buffer.alloc(16 * 2 ** 20);
    slow!.socket.pause();
    slow!.socket.write(A);
    await expect.poll(() => ways.length).toBe(3);
    await begun!.write(B.slice(0, 10));
    const { drained, closeIdle } = server.drain();
    closeIdle();
    await Promise.all([silent!.closed(), read!.closed(), repeated!.closed()]);
    slow!.socket.resume();
    expect((await slow!.read()).body.length).toBe(16 * 2 ** 20);
    bodyOf = () => "small";
    expect((await begun!.ask(B.slice(10))).head).toMatch(/^connection: close$/im);
    await slow!.closed();
    await drained;
  });
});
