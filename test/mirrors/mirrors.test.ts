import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { Agent } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { headProbe } from "../../src/mirrors/head-probe.ts";
import { createMirrors, type Mirrors, type MirrorState, type Probe } from "../../src/mirrors/mirrors.ts";
import { TestClock } from "../support/clock.ts";

const INTERVAL_MS = 10_000;
const TIMEOUT_MS = 3_000;

/** A mirror over a real socket that answers as the test says. */
class TestMirror {
  /** A status, or what to do with the answer. */
  answer: number | ((response: ServerResponse) => void) = 200;
  readonly requests: string[] = [];
  readonly #server: Server = createServer((request, response) => {
    this.requests.push(`${request.method ?? ""} ${request.url ?? ""} ${request.headers["user-agent"] ?? ""}`);
    if (typeof this.answer === "function") this.answer(response);
    else response.writeHead(this.answer).end();
    this.#server.emit("arrived");
  });
  base = "";

  async open(port = 0): Promise<this> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    this.base = `http://127.0.0.1:${String(this.port)}/pypi`;
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  arrived(): Promise<unknown> {
    return once(this.#server, "arrived");
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe("mirrors over real sockets", () => {
  let clock: TestClock;
  let dispatcher: Agent;
  let first: TestMirror;
  let second: TestMirror;
  let mirrors: Mirrors | undefined;
  let changes: MirrorState[];

  beforeEach(async () => {
    clock = new TestClock();
    dispatcher = new Agent();
    first = await new TestMirror().open();
    second = await new TestMirror().open();
    changes = [];
  });
  afterEach(async () => {
    await mirrors?.close();
    await dispatcher.destroy();
    await Promise.all([first.close(), second.close()]);
  });

  const start = (bases = [first.base, second.base]): Mirrors =>
    (mirrors = createMirrors({
      bases,
      probe: headProbe({ dispatcher, userAgent: "larder/test" }),
      intervalMs: INTERVAL_MS,
      clock,
      onChange: (mirror) => changes.push(mirror),
    }));

  /** Every mirror's probe has ended, and only the pauses are left. */
  const settled = async (): Promise<void> => {
    const pauses = mirrors!.states().map(() => INTERVAL_MS);
    while (clock.pending.join() !== pauses.join()) await new Promise(setImmediate);
  };
  const nextRound = async (): Promise<void> => {
    clock.advance(INTERVAL_MS);
    await settled();
  };

  it("are taken as healthy until the first probe has failed", async () => {
    first.answer = 500;
    const started = start();
    expect(started.current()).toBe(first.base);
    await settled();
    expect(started.current()).toBe(second.base);
  });

  it("are probed at once, by a HEAD of the base with larder's User-Agent", async () => {
    start();
    await settled();
    expect(first.requests).toEqual(["HEAD /pypi/ larder/test"]);
    expect(second.requests).toEqual(["HEAD /pypi/ larder/test"]);
  });

  it.each([
    [200, true],
    [301, true],
    [401, true],
    [403, true],
    [404, true],
    [405, true],
    [499, true],
    [500, false],
    [503, false],
  ])("that answer %d are healthy: %s", async (status, healthy) => {
    first.answer = status;
    const started = start();
    await settled();
    expect(started.states()[0]).toMatchObject({
      base: first.base,
      healthy,
      reason: healthy ? undefined : `answered ${String(status)}`,
    });
  });

  it("are used in order of preference, and upstream when none is healthy", async () => {
    const started = start();
    await settled();
    expect(started.current()).toBe(first.base);
    first.answer = 502;
    await nextRound();
    expect(started.current()).toBe(second.base);
    second.answer = 502;
    await nextRound();
    expect(started.current()).toBeUndefined();
    second.answer = 200;
    await nextRound();
    expect(started.current()).toBe(second.base);
    first.answer = 200;
    await nextRound();
    expect(started.current()).toBe(first.base);
  });

  it("that refuse connections or break them are not healthy, and say why", async () => {
    const port = first.port;
    await first.close();
    second.answer = (response) => response.socket?.destroy();
    const started = start();
    await settled();
    expect(started.states().map((mirror) => mirror.healthy)).toEqual([false, false]);
    expect(started.states()[0]?.reason).toContain("ECONNREFUSED");
    expect(started.states()[1]?.reason).not.toBe("");
    first = await new TestMirror().open(port);
    second.answer = 204;
    await nextRound();
    expect(started.states().map((mirror) => mirror.healthy)).toEqual([true, true]);
  });

  it("that do not answer within 3 seconds are not healthy, and are not probed twice at a time", async () => {
    first.answer = () => undefined;
    const arrived = first.arrived();
    const started = start([first.base]);
    await arrived;
    clock.advance(TIMEOUT_MS - 1);
    expect(clock.pending).toEqual([TIMEOUT_MS]);
    expect(started.current()).toBe(first.base);
    clock.advance(1);
    await settled();
    expect(started.current()).toBeUndefined();
    expect(started.states()[0]?.reason).toBe("no answer within 3000 ms");
    expect(first.requests).toHaveLength(1);
    first.answer = 200;
    await nextRound();
    expect(first.requests).toHaveLength(2);
    expect(started.current()).toBe(first.base);
  });

  it("report each change once, with its instant", async () => {
    const startAt = clock.now();
    const started = start([first.base]);
    await settled();
    first.answer = 500;
    await nextRound();
    await nextRound();
    first.answer = 200;
    await nextRound();
    await nextRound();
    expect(changes).toEqual([
      { base: first.base, healthy: false, since: startAt + INTERVAL_MS, reason: "answered 500" },
      { base: first.base, healthy: true, since: startAt + 3 * INTERVAL_MS, reason: undefined },
    ]);
    expect(started.states()).toEqual([changes[1]]);
  });

  it("are probed no more after close, and a probe under way is broken off", async () => {
    first.answer = () => undefined;
    const arrived = first.arrived();
    const started = start([first.base, second.base]);
    await Promise.all([arrived, clock.untilTimer(INTERVAL_MS)]);
    await started.close();
    expect(clock.pending).toEqual([]);
    clock.advance(10 * INTERVAL_MS);
    expect(first.requests).toHaveLength(1);
    expect(second.requests).toHaveLength(1);
    expect(changes).toEqual([]);
    await started.close();
  });

  it("that accept and fall silent do not hold up the others", async () => {
    first.answer = () => undefined;
    const started = start();
    await clock.untilTimer(INTERVAL_MS);
    expect(started.states().map((mirror) => mirror.healthy)).toEqual([true, true]);
    expect(clock.pending).toEqual([TIMEOUT_MS, INTERVAL_MS]);
    clock.advance(TIMEOUT_MS);
    await settled();
    expect(started.current()).toBe(second.base);
  });
});

describe("a probe", () => {
  it("that ignores its signal is never joined by a second one of the same mirror", async () => {
    const clock = new TestClock();
    let probes = 0;
    let end = (): void => undefined;
    const probe: Probe = () => {
      probes++;
      return new Promise((resolve) => (end = () => resolve({ healthy: true })));
    };
    const mirrors = createMirrors({ bases: ["http://m"], probe, intervalMs: INTERVAL_MS, clock });
    clock.advance(100 * INTERVAL_MS);
    expect(probes).toBe(1);
    end();
    await clock.untilTimer(INTERVAL_MS);
    expect(mirrors.current()).toBeUndefined();
    clock.advance(INTERVAL_MS);
    expect(probes).toBe(2);
    end();
    await mirrors.close();
  });

  it("is not made where there is no mirror", async () => {
    const clock = new TestClock();
    const probe: Probe = () => Promise.reject(new Error("no probe may be made"));
    const mirrors = createMirrors({ bases: [], probe, intervalMs: INTERVAL_MS, clock });
    expect(mirrors.current()).toBeUndefined();
    expect(clock.pending).toEqual([]);
    await mirrors.close();
  });
});
