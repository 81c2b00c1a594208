import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { redactGiven, redactJsonLine, redactUserinfo } from "../src/redact.ts";

describe("redactUserinfo", () => {
  it.each([
    ["redis://ada:pw@h:1/0", "redis://***@h:1/0"],
    ["connect to redis+cluster://:pw@h:1,i:2 failed", "connect to redis+cluster://***@h:1,i:2 failed"],
    ["http://a:p@w@h/", "http://***@h/"],
    ["https://a:b@c,https://d:e@f", "https://***@c,https://***@f"],
    ["https://files.example/packages/a@1.0.whl", "https://files.example/packages/a@1.0.whl"],
    ["write to ops@corp.example", "write to ops@corp.example"],
    ['{"msg":"see http://a:pw@h"}', '{"msg":"see http://***@h"}'],
  ])("%j becomes %j", (given, expected) => {
    expect(redactUserinfo(given)).toBe(expected);
  });

  it("leaves no password of any valid URL, wherever it stands, and changes nothing else", () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9%.~!$&'()*+,;=:@-]{0,20}$/).map((text) => `s3cret${text}`);
    fc.assert(
      fc.property(secret, fc.lorem(), fc.lorem(), (password, before, after) => {
        // An apostrophe ends a quoted URL in prose, so it is no part of one here.
        fc.pre(!password.includes("'"));
        const line = `${before} redis://ada:${password}@redis.corp:6379/0 ${after}`;
        expect(redactUserinfo(line)).toBe(`${before} redis://***@redis.corp:6379/0 ${after}`);
      }),
    );
  });
});

describe("redactJsonLine", () => {
  it("masks credentials at any depth, in any case, and leaves valid JSON", () => {
    const line = JSON.stringify({
      headers: {
        Authorization: 'Basic "s3cret\\',
        "proxy-authorization": "s3cret",
        "set-cookie": ["s3cret=1]", 's3cret="2"'],
        accept: "a",
      },
      deep: [{ er: { options: { password: "s3cret", url: "http://u:s3cret@h/" } } }],
    });
    const masked = redactJsonLine(line);
    expect(masked).not.toContain("s3cret");
    expect(JSON.parse(masked)).toEqual({
      headers: { Authorization: "***", "proxy-authorization": "***", "set-cookie": "***", accept: "a" },
      deep: [{ er: { options: { password: "***", url: "http://***@h/" } } }],
    });
  });

  it("keeps any line of JSON valid", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), fc.array(fc.string()), (value, password, cookie) => {
        const line = JSON.stringify({ value, password, cookie, message: `http://${password}@h` });
        expect(JSON.parse(redactJsonLine(line))).toMatchObject({ password: "***", cookie: "***" });
      }),
    );
  });
});

describe("redactGiven", () => {
  it("shows scheme and host of what is well formed", () => {
    expect(redactGiven("redis://ada:pw@h:6379/0")).toBe("redis://***@h:6379/0");
    expect(redactGiven("redis://h:6379/0")).toBe("redis://h:6379/0");
    expect(redactGiven("redis+sentinel://:pw@h:1,i:2/m")).toBe("redis+sentinel://***@h:1,i:2/m");
  });
});
