import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { describeRedis, parseRedisUrl } from "../../src/redis/url.ts";

const PLAIN = { tls: false, username: undefined, password: undefined };

describe("a Redis URL", () => {
  it.each([
    ["redis://cache", { kind: "standalone", ...PLAIN, address: { host: "cache", port: 6379 }, db: 0 }],
    ["redis://cache/", { kind: "standalone", ...PLAIN, address: { host: "cache", port: 6379 }, db: 0 }],
    [
      "redis://10.0.0.7:7000/3",
      { kind: "standalone", ...PLAIN, address: { host: "10.0.0.7", port: 7000 }, db: 3 },
    ],
    ["redis://[::1]:6380", { kind: "standalone", ...PLAIN, address: { host: "::1", port: 6380 }, db: 0 }],
    [
      "REDISS://cache",
      { kind: "standalone", ...PLAIN, tls: true, address: { host: "cache", port: 6379 }, db: 0 },
    ],
    [
      "redis://:p%40ss%2F@cache",
      { kind: "standalone", ...PLAIN, password: "p@ss/", address: { host: "cache", port: 6379 }, db: 0 },
    ],
    [
      "redis://me:a:b@c@cache",
      {
        kind: "standalone",
        tls: false,
        username: "me",
        password: "a:b@c",
        address: { host: "cache", port: 6379 },
        db: 0,
      },
    ],
    [
      "redis+sentinel://s1,s2:26380/main",
      {
        kind: "sentinel",
        ...PLAIN,
        sentinels: [
          { host: "s1", port: 26379 },
          { host: "s2", port: 26380 },
        ],
        masterName: "main",
        db: 0,
        sentinelUsername: undefined,
        sentinelPassword: undefined,
      },
    ],
    [
      "rediss+sentinel://me:secret@s1/main/2?sentinel-password=other&sentinel-username=watch",
      {
        kind: "sentinel",
        tls: true,
        username: "me",
        password: "secret",
        sentinels: [{ host: "s1", port: 26379 }],
        masterName: "main",
        db: 2,
        sentinelUsername: "watch",
        sentinelPassword: "other",
      },
    ],
    [
      "rediss+cluster://n1:7000,n2:7001",
      {
        kind: "cluster",
        ...PLAIN,
        tls: true,
        nodes: [
          { host: "n1", port: 7000 },
          { host: "n2", port: 7001 },
        ],
      },
    ],
  ])("%s is read", (url, target) => {
    expect(parseRedisUrl(url)).toEqual(target);
  });

  it.each([
    ["", "expected one of redis://"],
    ["cache:6379", "expected one of redis://"],
    ["http://cache", "expected one of redis://"],
    ["redis://", "expected host or host:port"],
    ["redis://cache:99999", "port from 1 to 65535"],
    ["redis://cache:0", "port from 1 to 65535"],
    ["redis://ca che", "expected host or host:port"],
    ["redis://a,b", "several hosts need redis+sentinel:// or redis+cluster://"],
    ["redis://cache/zero", "database number"],
    ["redis://cache/0/1", "at most a database number"],
    ["redis://cache?db=1", "expected no ?query"],
    ["redis://cache#1", "expected one of"],
    ["redis://me@cache", "a user without a password"],
    ["redis://:%zz@cache", "URI malformed"],
    ["redis+sentinel://s1", "the master's name"],
    ["redis+sentinel://s1/main/0/1", "the master's name"],
    ["redis+sentinel://s1/main?password=x", "no parameter but sentinel-username, sentinel-password"],
    ["redis+cluster://n1/0", "a Cluster has no database number"],
    ["redis+cluster://n1,,n2", "expected host or host:port"],
  ])("%j is refused, with what is accepted", (url, reason) => {
    expect(() => parseRedisUrl(url)).toThrow(ConfigError);
    expect(() => parseRedisUrl(url)).toThrow(reason);
  });

  it("is described without user and password", () => {
    const url = "rediss+sentinel://me:geheim@s1,[::2]:9/main/2?sentinel-password=auch";
    expect(describeRedis(parseRedisUrl(url))).toBe("rediss+sentinel://s1:26379,[::2]:9/main/2");
    expect(describeRedis(parseRedisUrl("redis://:geheim@cache"))).toBe("redis://cache:6379/0");
    expect(describeRedis(parseRedisUrl("redis+cluster://:geheim@a,b:7"))).toBe("redis+cluster://a:6379,b:7");
  });

  it("never shows its password, however it is written, in an error or a description", () => {
    const secret = fc
      .tuple(fc.constantFrom("", "/", "#", "?", "@", ":", "%", " ", ","), fc.string())
      .map(([special, more]) => `Zq7${special}${more}${special}Zq7`);
    const scheme = fc.constantFrom("redis", "rediss", "redis+sentinel", "redis+cluster", "redsi");
    fc.assert(
      fc.property(scheme, secret, fc.constantFrom("cache", "cache:x", "a,b", ""), (start, password, host) => {
        let shown: string;
        try {
          shown = describeRedis(parseRedisUrl(`${start}://me:${password}@${host}/main`));
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          shown = String(error);
        }
        expect(shown).not.toContain("Zq7");
      }),
    );
  });
});
