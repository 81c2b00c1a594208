import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WHOLE_LINE_BYTES, wholeLine } from "../../src/ops/whole-line.ts";

const line = (value: unknown): string => `${JSON.stringify(value)}\n`;

describe("a whole line", () => {
  it("is as it was where it is short, whatever letters are in it", () => {
    const given = { level: "info", msg: 'a "word" or two' };
    expect(wholeLine(line(given))).toBe(line(given));
    expect(JSON.parse(wholeLine(line({ msg: "żółw 🐢" })))).toEqual({ msg: "żółw 🐢" });
  });

  it("has its long strings cut where it is too long, and keeps the rest", () => {
    const given = {
      level: "warn",
      err: { message: "broken", stack: "at a.ts:1\n".repeat(1_000) },
      key: "demo",
    };
    const cut = JSON.parse(wholeLine(line(given))) as typeof given;
    expect(cut).toMatchObject({ level: "warn", err: { message: "broken" }, key: "demo" });
    expect(cut.err.stack).toMatch(/^at a\.ts:1\n.*…$/s);
  });

  it("is one line of JSON, and no longer than can be written at once, whatever is logged", () => {
    const anything = fc.dictionary(
      fc.string({ maxLength: 5_000, unit: "binary" }),
      fc.jsonValue({ noUnicodeString: false }),
      {
        maxKeys: 200,
      },
    );
    fc.assert(
      fc.property(anything, fc.string({ maxLength: 9_000, unit: "grapheme" }), (members, msg) => {
        const whole = wholeLine(line({ level: "info", ...members, msg }));
        expect(Buffer.byteLength(whole)).toBeLessThanOrEqual(WHOLE_LINE_BYTES);
        expect(whole.indexOf("\n")).toBe(whole.length - 1);
        expect(JSON.parse(whole)).toHaveProperty("msg");
      }),
    );
  });
});

describe("the log of several processes", () => {
  it("has no line within another, on a pipe that is full again and again", async () => {
    const writer = fileURLToPath(new URL("shared-log-writer.ts", import.meta.url));
    const one = `"${process.execPath}" "${writer}"`;
    // A real pipe: what Node makes for a child is a socket.
    const shell = spawn("sh", ["-c", `{ ${one} 1 & ${one} 2 & ${one} 3 & wait; } | dd bs=700 status=none`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    shell.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(shell, "close");
    const lines = text
      .trimEnd()
      .split("\n")
      .map((each) => JSON.parse(each) as { worker: number; i: number });
    for (const worker of [1, 2, 3]) {
      const own = lines.filter((each) => each.worker === worker).map(({ i }) => i);
      expect(own).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
    }
  });
});
