import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isoTimes, renderRequestLine, type RequestLine } from "../../src/ops/request-line.ts";

const TIME = "2026-11-25T15:14:13.007Z";
const render = (line: RequestLine): string => renderRequestLine(line, TIME, '"pid":1,"hostname":"a"');

describe("the line of a request", () => {
  it("is the JSON that pino would write, whatever the client sent", () => {
    const text = fc.string({ unit: "binary" }).filter((each) => !each.includes("@"));
    const aLine = fc.record({
      method: fc.option(text, { nil: undefined }),
      path: fc.option(text, { nil: undefined }),
      status: fc.integer({ min: 100, max: 599 }),
      cache: fc.constantFrom("hit", "miss"),
      ms: fc.double({ min: 0, max: 1e6, noNaN: true }),
      agent: fc.option(text, { nil: undefined }),
      isAborted: fc.boolean(),
    });
    fc.assert(
      fc.property(aLine, ({ isAborted, ...line }) => {
        const rendered = render({ ...line, isAborted });
        expect(rendered.indexOf("\n")).toBe(rendered.length - 1);
        expect(JSON.parse(rendered)).toEqual(
          JSON.parse(
            JSON.stringify({
              level: "info",
              time: TIME,
              pid: 1,
              hostname: "a",
              ...line,
              ...(isAborted && { aborted: true }),
              msg: "request",
            }),
          ),
        );
      }),
    );
  });

  it("masks the password of a URL in path and agent", () => {
    const line = render({
      method: "GET",
      path: "/x//ada:hunter2@h/",
      status: 404,
      cache: "local",
      ms: 1,
      agent: "http://ada:hunter2@h",
      isAborted: false,
    });
    expect(line).not.toContain("hunter2");
    expect(JSON.parse(line)).toMatchObject({ path: "/x//***@h/", agent: "http://***@h" });
  });
});

describe("the time of a line", () => {
  it("is what Date says, for any instants in any order", () => {
    let now = 0;
    const time = isoTimes({ now: () => now, after: () => () => undefined });
    fc.assert(
      fc.property(
        fc.integer({ min: -1e12, max: 4e12 }),
        fc.integer({ min: -2_000, max: 2_000 }),
        (at, more) => {
          for (now of [at, at + more, at]) expect(time()).toBe(new Date(now).toISOString());
        },
      ),
    );
  });
});
