import {
  constants,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchRaw } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { type LarderProcess, runProcess, startProcess } from "../support/process.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { startClient, type SteadyClient } from "./steady-client.ts";

const DEMO = "/pypi/demo/json";
const LOST = "a worker was lost, and is replaced";
const CLOSE = { headers: { connection: "close" } };

let upstream: FakeUpstream;
let directory: string;
let larder: LarderProcess | undefined;
let clients: SteadyClient[];

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.project("demo", { serial: 10 });
  directory = mkdtempSync(join(tmpdir(), "larder-test-"));
  clients = [];
});

afterEach(async () => {
  const pids = larder?.workerPids() ?? [];
  await larder?.end("SIGKILL");
  larder = undefined;
  await expect.poll(() => pids.filter(isAlive), { timeout: 15_000 }).toEqual([]);
  await Promise.all(clients.map((client) => client.stop()));
  await upstream.close();
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

async function start(env: Record<string, string> = {}, node?: string): Promise<LarderProcess> {
  const all = {
    LARDER_UPSTREAM: upstream.url,
    LARDER_DATA: join(directory, "data"),
    LARDER_WORKERS: "2",
    ...env,
  };
  larder = await startProcess(all, node);
  return larder;
}

function startClients(url: string, keepAlive: number, fresh: number): void {
  for (let i = 0; i < keepAlive; i += 1) clients.push(startClient(url, DEMO, `keep-alive-${i}`, true));
  for (let i = 0; i < fresh; i += 1) clients.push(startClient(url, DEMO, `fresh-${i}`, false));
}

/** Of an orphan that has ended, a zombie is left until its new parent looks. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync("/proc") || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false; // no such process
  }
}

/** Which process answered each client last. */
function answeredBy({ log }: LarderProcess): ReadonlyMap<unknown, unknown> {
  return new Map(
    log()
      .filter(({ msg }) => msg === "request")
      .map(({ agent, pid }) => [agent, pid]),
  );
}

const said = ({ log }: LarderProcess, msg: string): readonly Record<string, unknown>[] =>
  log().filter((line) => line["msg"] === msg);

async function scrape(url: string): Promise<(name: string) => number> {
  const text = (await fetchRaw(url, "/metrics", CLOSE)).body.toString();
  return (name) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length + 1),
    );
}

const errorOf = (url: string): Promise<unknown> =>
  fetchRaw(url, "/healthz", CLOSE).then(
    ({ status }) => status,
    (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
  );

describe("several workers", () => {
  it("come again though all of them die at once, and the next ones too: the primary waits for it", async () => {
    // Of a port of its own choice nobody would remember it once all are gone.
    const process_ = await start({ PORT: String(await freePort()) });
    let before: readonly number[] = [];
    for (let round = 0; round < 3; round += 1) {
      await expect.poll(() => new Set(process_.workerPids()).difference(new Set(before)).size).toBe(2);
      before = process_.workerPids();
      for (const pid of before) process.kill(pid, "SIGKILL");
    }
    await expect.poll(() => errorOf(process_.url)).toBe(200);
    expect(Math.max(...said(process_, LOST).map(({ replacedInMs }) => Number(replacedInMs)))).toBeGreaterThan(
      0,
    );
  });

  it("answer on one port, connections in turn, and tell how many they are", async () => {
    const process = await start({ LARDER_WORKERS: "3" });
    expect(process.workerPids()).toHaveLength(3);
    startClients(process.url, 6, 0);
    await Promise.all(clients.map((client) => client.more(5)));
    // The log comes a little after the answers.
    await expect.poll(() => new Set(answeredBy(process).values()).size).toBe(3);
    expect(JSON.parse((await fetchRaw(process.url, "/readyz")).body.toString())).toMatchObject({
      ready: true,
      workers: { up: 3, of: 3 },
    });
    expect(said(process, "starting")).toHaveLength(1);
    const worker = said(process, "request")[0]?.["worker"];
    expect([1, 2, 3]).toContain(worker);
  });

  it("are as many as there are cores with `auto`", async () => {
    const { log } = await start({ LARDER_WORKERS: "auto" });
    expect(log()[0]).toMatchObject({ config: { LARDER_WORKERS: String(availableParallelism()) } });
    if (availableParallelism() > 1) expect(larder?.workerPids()).toHaveLength(availableParallelism());
  });

  it("lose one to kill -9: only its own connections break, and it is replaced", async () => {
    const process_ = await start();
    startClients(process_.url, 8, 0);
    await Promise.all(clients.map((client) => client.more(20)));
    const [victim] = process_.workerPids();
    await expect.poll(() => answeredBy(process_).size).toBe(clients.length);
    const answered = answeredBy(process_);
    process.kill(victim!, "SIGKILL");
    await expect.poll(() => process_.workerPids().filter((pid) => pid !== victim)).toHaveLength(2);
    await Promise.all(clients.map((client) => client.more(20)));
    for (const { name, failures } of clients) {
      expect(failures.length, name).toBeLessThanOrEqual(answered.get(name) === victim ? 1 : 0);
    }
    expect(clients.flatMap(({ failures }) => failures).length).toBeGreaterThan(0);
    expect(said(process_, "a worker was lost, and is replaced")).toMatchObject([
      { workerPid: victim, signal: "SIGKILL", replacedInMs: 0 },
    ]);
  });

  it("lose one that was just being handed a connection: another one answers that", async () => {
    const process_ = await start();
    await fetchRaw(process_.url, DEMO, CLOSE);
    const [victim] = process_.workerPids();
    process.kill(victim!, "SIGSTOP");
    let answered = 0;
    const answers = Array.from({ length: 6 }, () =>
      fetchRaw(process_.url, DEMO, CLOSE).finally(() => (answered += 1)),
    );
    // All but the one that waits for the paused worker.
    await expect.poll(() => answered).toBe(5);
    process.kill(victim!, "SIGKILL");
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it("are all replaced on SIGHUP, and no request fails", async () => {
    const process_ = await start({ LARDER_SHUTDOWN: "4s" });
    const before = process_.workerPids();
    startClients(process_.url, 6, 3);
    await Promise.all(clients.map((client) => client.more(20)));
    process_.child.kill("SIGHUP");
    await expect
      .poll(() => said(process_, "workers have been replaced"), { timeout: 20_000 })
      .toHaveLength(1);
    await Promise.all(clients.map((client) => client.more(20)));
    expect(clients.flatMap(({ failures }) => failures)).toEqual([]);
    const after = process_.workerPids();
    expect(after).toHaveLength(2);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
    expect(said(process_, "a worker has ended")).toMatchObject([{ code: 0 }, { code: 0 }]);
  });

  it("answer what is under way on SIGTERM, and all end with 0", async () => {
    const process_ = await start();
    const pids = process_.workerPids();
    const gate = upstream.hold();
    // Different ones, so that each is known to have arrived.
    const names = ["demo", "one", "two", "three"];
    const waiting = names.map((name) => fetchRaw(process_.url, `/pypi/${name}/json`, CLOSE));
    await upstream.arrived(names.length);
    const ended = process_.end("SIGTERM");
    await expect.poll(() => errorOf(process_.url)).toBe("ECONNREFUSED");
    gate.release();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 404, 404, 404]);
    expect(await ended).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(said(process_, "a worker has ended")).toMatchObject([{ code: 0 }, { code: 0 }]);
  });

  it("end at once on a second signal", async () => {
    const process_ = await start();
    const pids = process_.workerPids();
    upstream.hold();
    const waiting = fetchRaw(process_.url, DEMO, CLOSE).catch(() => "broken");
    await upstream.arrived(1);
    process_.child.kill("SIGTERM");
    await expect.poll(() => errorOf(process_.url)).toBe("ECONNREFUSED");
    expect(await process_.end("SIGTERM")).toBe(130);
    expect(await waiting).toBe("broken");
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });

  it("answer what is under way when the primary is killed, end, and leave the port free", async () => {
    const process_ = await start();
    const pids = process_.workerPids();
    const gate = upstream.hold();
    const waiting = fetchRaw(process_.url, DEMO, CLOSE);
    await upstream.arrived(1);
    await process_.end("SIGKILL");
    await expect.poll(() => errorOf(process_.url)).toBe("ECONNREFUSED");
    gate.release();
    expect((await waiting).status).toBe(200);
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });

  it("tell that they die one after the other, start ever more slowly, and recover", async () => {
    const process_ = await start();
    rmSync(join(directory, "data"), { recursive: true });
    writeFileSync(join(directory, "data"), "");
    process.kill(process_.workerPids()[0]!, "SIGKILL");
    const pauses = (): unknown[] =>
      said(process_, "a worker was lost, and is replaced").map(({ replacedInMs }) => replacedInMs);
    await expect.poll(pauses, { timeout: 20_000 }).toEqual(expect.arrayContaining([0, 250, 500, 1_000]));
    expect(process_.output()).toContain(`LARDER_DATA (${join(directory, "data")}) cannot be used`);
    expect(await errorOf(process_.url)).toBe(200);
    rmSync(join(directory, "data"));
    await expect.poll(() => process_.workerPids(), { timeout: 20_000 }).toHaveLength(2);
  });

  it("go on where no process can be started, and are as many as before once one can", async () => {
    const [node, away] = [join(directory, "node"), join(directory, "node-away")];
    copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE);
    const process_ = await start({}, node);
    const before = process_.workerPids();
    renameSync(node, away); // as by an installation of dependencies under way
    process_.child.kill("SIGHUP");
    await expect
      .poll(() => said(process_, "a new worker did not come up: the old ones go on"))
      .toHaveLength(1);
    expect(process_.workerPids()).toEqual(before);
    process.kill(before[0]!, "SIGKILL");
    const pauses = (): unknown[] =>
      said(process_, "a worker was lost, and is replaced").map(({ replacedInMs }) => replacedInMs);
    await expect.poll(pauses).toEqual(expect.arrayContaining([0, 250, 500]));
    expect(process_.output()).toContain("ENOENT");
    expect(await errorOf(process_.url)).toBe(200);
    renameSync(away, node);
    await expect.poll(() => process_.workerPids(), { timeout: 20_000 }).toHaveLength(2);
  });

  it("go on where a rolling restart cannot", async () => {
    const process_ = await start();
    const before = process_.workerPids();
    rmSync(join(directory, "data"), { recursive: true });
    writeFileSync(join(directory, "data"), "");
    process_.child.kill("SIGHUP");
    await expect
      .poll(() => said(process_, "a new worker did not come up: the old ones go on"))
      .toHaveLength(1);
    expect(process_.workerPids()).toEqual(before);
    expect(await errorOf(process_.url)).toBe(200);
  });

  it("have one sum of metrics, whose counters never go back", async () => {
    const process_ = await start();
    const requests = 'larder_requests_total{route="healthz",cache="local",status="2xx"}';
    for (let i = 0; i < 10; i += 1) await fetchRaw(process_.url, "/healthz", CLOSE);
    const first = await scrape(process_.url);
    expect([first(requests), first("larder_workers")]).toEqual([10, 2]);
    expect(first("larder_process_resident_memory_bytes")).toBeGreaterThan(100e6);
    for (const project of ["a", "b", "c", "d"]) {
      upstream.project(project, { serial: 1 });
      await fetchRaw(process_.url, `/pypi/${project}/json`, CLOSE);
    }
    const second = await scrape(process_.url);
    expect(second("larder_store_entries")).toBe(4);

    const victim = process_.workerPids()[0]!;
    process.kill(victim, "SIGKILL");
    await expect.poll(() => process_.workerPids().filter((pid) => pid !== victim)).toHaveLength(2);
    const third = await scrape(process_.url);
    expect(third(requests)).toBe(10);
    expect(third('larder_worker_restarts_total{why="lost"}')).toBe(1);

    for (let i = 0; i < 5; i += 1) await fetchRaw(process_.url, "/healthz", CLOSE);
    process_.child.kill("SIGHUP");
    await expect
      .poll(() => said(process_, "workers have been replaced"), { timeout: 20_000 })
      .toHaveLength(1);
    const fourth = await scrape(process_.url);
    expect(fourth(requests)).toBe(15);
    expect(fourth('larder_worker_restarts_total{why="rolled"}')).toBe(2);
    expect(fourth("larder_upstream_duration_seconds_count" + '{outcome="ok"}')).toBe(4);
    expect(fourth("larder_workers")).toBe(2);
  });

  it("have a sum also while one of them says nothing, and it says so", async () => {
    const process_ = await start();
    for (let i = 0; i < 10; i += 1) await fetchRaw(process_.url, "/healthz", CLOSE);
    await scrape(process_.url);
    const [paused] = process_.workerPids();
    process.kill(paused!, "SIGSTOP");
    const answers = [scrape(process_.url), scrape(process_.url)];
    const sum = await Promise.race(answers);
    expect(sum('larder_requests_total{route="healthz",cache="local",status="2xx"}')).toBe(10);
    expect(sum("larder_worker_silent_total")).toBeGreaterThan(0);
    process.kill(paused!, "SIGCONT");
    await Promise.all(answers);
  });

  it("write whole lines, however long", async () => {
    const process_ = await start();
    const agent = (i: number): string => `agent-${i}-${"x".repeat(200 * (i % 60))}`;
    await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        fetchRaw(process_.url, "/healthz", { headers: { "user-agent": agent(i), connection: "close" } }),
      ),
    );
    await process_.end("SIGTERM");
    // The process ends before all that it wrote has been read here.
    const isOurs = ({ agent }: Record<string, unknown>): boolean => String(agent).startsWith("agent-");
    await expect.poll(() => process_.log().filter(isOurs)).toHaveLength(300);
    const lines = process_.output().trimEnd().split("\n");
    expect(() => lines.map((line) => JSON.parse(line) as unknown)).not.toThrow();
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(4_096);
  });
});

describe("a start that cannot be", () => {
  it.each([
    [{ LARDER_FRESH: "10" }, "LARDER_FRESH"],
    [{ LARDER_WORKERS: "0" }, "LARDER_WORKERS"],
    [{ LARDER_DATA: "/dev/null/data" }, "LARDER_DATA (/dev/null/data)"],
    [{ HOST: "192.0.2.1" }, "EADDRNOTAVAIL"],
  ])("ends with 1 and one word about it: %o", async (env, word) => {
    const given = {
      PORT: "0",
      HOST: "127.0.0.1",
      LARDER_DATA: join(directory, "data"),
      LARDER_WORKERS: "2",
      ...env,
    };
    const { code, output } = await runProcess(given);
    expect(code).toBe(1);
    const told = output.split("\n").filter((line) => !line.startsWith("{"));
    expect(told.filter((line) => line.includes(word))).toHaveLength(1);
    expect(told.filter((line) => line.startsWith("larder cannot"))).toHaveLength(1);
  });
});

describe("one worker", () => {
  it("is the process itself; SIGHUP has nothing to replace, and it goes on", async () => {
    const process_ = await start({ LARDER_WORKERS: "1" });
    expect(process_.workerPids()).toEqual([]);
    process_.child.kill("SIGHUP");
    await expect
      .poll(() => said(process_, "SIGHUP: this larder has no workers to replace, and goes on"))
      .toHaveLength(1);
    expect(await errorOf(process_.url)).toBe(200);
    expect(await process_.end("SIGTERM")).toBe(0);
  });
});
