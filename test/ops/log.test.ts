import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { createLog, type LogOptions } from "../../src/ops/log.ts";

function capture(options: Partial<LogOptions> = {}): { log: ReturnType<typeof createLog>; lines: string[] } {
  const lines: string[] = [];
  const to = { write: (line: string) => void lines.push(line) };
  return { log: createLog({ level: "info", format: "auto", isTerminal: false, to, ...options }), lines };
}

describe("the log in production", () => {
  it("is one line of JSON for each event, with its level as a word and its time in ISO form", () => {
    const { log, lines } = capture();
    log.info({ route: "project", status: 200 }, "request");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    const event = JSON.parse(lines[0]!) as Record<string, unknown>;
    expect(event).toMatchObject({ level: "info", route: "project", status: 200, msg: "request" });
    expect(event["time"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it.each(["fatal", "error", "warn", "info", "debug", "trace"] as const)(
    "leaves out what is below %s",
    (level) => {
      const { log, lines } = capture({ level });
      const levels = ["fatal", "error", "warn", "info", "debug", "trace"] as const;
      for (const each of levels) log[each]("event");
      expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(
        levels.slice(0, levels.indexOf(level) + 1),
      );
    },
  );

  it("is empty when silent", () => {
    const { log, lines } = capture({ level: "silent" });
    log.fatal("event");
    expect(lines).toEqual([]);
  });
});

describe("the log on a terminal", () => {
  it("is readable, and written before the call returns", () => {
    const { log, lines } = capture({ isTerminal: true });
    log.warn({ mirror: "https://mirror.corp" }, "mirror is not healthy");
    expect(lines).toHaveLength(1);
    expect(() => JSON.parse(lines[0]!) as unknown).toThrow();
    expect(lines[0]).toContain("WARN");
    expect(lines[0]).toContain("mirror is not healthy");
    expect(lines[0]).toContain("https://mirror.corp");
    expect(lines[0]).not.toContain("hostname");
  });

  it("is what the format says, whatever the terminal", () => {
    const json = capture({ isTerminal: true, format: "json" });
    json.log.info("event");
    expect(JSON.parse(json.lines[0]!)).toMatchObject({ msg: "event" });
    const pretty = capture({ isTerminal: false, format: "pretty" });
    pretty.log.info("event");
    expect(pretty.lines[0]).toContain("INFO: event");
  });
});

describe.each(["json", "pretty"] as const)("secrets in the %s log", (format) => {
  it("are masked in messages, members, errors and their causes", () => {
    const { log, lines } = capture({ format });
    const url = "redis://ada:hunter2@redis.corp:6379/0";
    log.info(
      { url, request: { headers: { authorization: "Bearer hunter2", Cookie: "a=hunter2" } } },
      `use ${url}`,
    );
    log.error(new Error(`connect to ${url} failed`, { cause: new Error(`no route to ${url}`) }));
    log.child({ proxy: "http://ada:hunter2@proxy.corp:3128" }).info("child");
    const all = lines.join("");
    expect(all).not.toContain("hunter2");
    expect(all).toContain("redis://***@redis.corp:6379/0");
    expect(all).toContain("http://***@proxy.corp:3128");
    expect(all).toContain("no route to");
  });
});

describe("the log of a process", () => {
  const script = (end: string): string => `
    import { createLog } from ${JSON.stringify(new URL("../../src/ops/log.ts", import.meta.url).href)};
    const log = createLog({ level: "info", format: "json", isTerminal: false });
    for (let n = 0; n < 1000; n++) log.info({ n }, "event");
    ${end}`;

  it.each(["", "process.exit(0)", "process.exitCode = 3; throw new Error('crash')"])(
    "is complete on stdout after the end of the process: %s",
    async (end) => {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script(end)], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      const lines = (await text(child.stdout)).trimEnd().split("\n");
      const numbers = lines.map((line) => (JSON.parse(line) as { n: number }).n);
      // Each once. A page that a thread is just writing may come after those that are written at the end.
      expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
    },
  );
});

describe("the log of a process that goes on", () => {
  const script = `
    import { createLog } from ${JSON.stringify(new URL("../../src/ops/log.ts", import.meta.url).href)};
    const log = createLog({ level: "info", format: "json", isTerminal: false });
    process.stdin.on("data", (level) => { log.info("first"); log[String(level)]("second"); });`;

  it.each(["info", "warn"])(
    "has written every line within a moment, the last one at level %s",
    async (level) => {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      let told = "";
      child.stdout.on("data", (chunk: Buffer) => (told += chunk.toString()));
      child.stdin.write(level);
      await expect.poll(() => told, { timeout: 5_000 }).toMatch(/first.*\n.*second.*\n/);
      expect(child.exitCode).toBeNull();
      child.kill();
    },
  );
});
