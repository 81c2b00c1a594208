import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  describeConfig,
  optionsTable,
  readConfig,
  type Config,
  type Environment,
} from "../../src/config/config.ts";
import { editDistance, nearestName } from "../../src/config/names.ts";
import { duration, showDuration, showSize, size } from "../../src/config/values.ts";
import { ConfigError } from "../../src/errors.ts";

const noFile = (): never => {
  throw new Error("no file may be read here");
};
const read = (env: Environment): Config => readConfig(env, noFile);

function faultsOf(env: Environment, readFile = noFile as (path: string) => string): readonly string[] {
  try {
    readConfig(env, readFile);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

function theFaultOf(env: Environment): string {
  const faults = faultsOf(env);
  expect(faults).toHaveLength(1);
  return faults[0]!;
}

describe("the defaults", () => {
  it("need no environment at all", () => {
    expect(read({})).toMatchObject({
      port: 8080,
      host: "0.0.0.0",
      upstreamUrl: "https://pypi.org",
      filesUpstreamUrl: "https://files.pythonhosted.org",
      dataDirectory: "./data",
      redis: undefined,
      files: { kind: "larder" },
      publicUrl: undefined,
      offline: false,
      freshMs: 600_000,
      staleWhileRevalidateMs: 300_000,
      staleIfErrorMs: Number.POSITIVE_INFINITY,
      negativeMs: 60_000,
      patienceMs: 1_000,
      lowerSerialMs: 86_400_000,
      memoryBytes: 268_435_456,
      diskBytes: 10_737_418_240,
      maxDocumentBytes: 134_217_728,
      logLevel: "info",
      ca: undefined,
      httpsProxy: undefined,
    });
  });

  it("stand in for an empty or blank value", () => {
    const empty = Object.fromEntries(optionsTable().map((row) => [row.env, ""]));
    const blank = Object.fromEntries(optionsTable().map((row) => [row.env, " \n"]));
    expect(describeConfig(read(empty))).toEqual(describeConfig(read({})));
    expect(describeConfig(read(blank))).toEqual(describeConfig(read({})));
  });

  it.each(optionsTable().filter((row) => row.fallback !== ""))(
    "mean the same when written out: $env=$fallback",
    ({ env, fallback, key }) => {
      const written = read({ [env]: fallback })[key];
      expect(JSON.stringify(written)).toBe(JSON.stringify(read({})[key]));
    },
  );

  it("are frozen, all the way down", () => {
    const config = read({ LARDER_FILES: "https://mirror.corp" });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.files)).toBe(true);
    expect(config.files.kind === "mirrors" && Object.isFrozen(config.files.bases)).toBe(true);
  });
});

describe("faults", () => {
  it("are reported all at once, each with its variable, what was given and what is accepted", () => {
    const faults = faultsOf({
      PORT: "99999",
      LARDER_FRESH: "soon",
      LARDER_MEMORY: "lots",
      LARDER_LOG: "chatty",
      LARDER_OFFLINE: "maybe",
      LARDER_FRSH: "10m",
    });
    expect(faults).toEqual([
      "LARDER_FRSH: no such variable, did you mean LARDER_FRESH?",
      'PORT: got "99999", expected a whole number from 0 to 65535',
      'LARDER_OFFLINE: got "maybe", expected 1 or true, 0 or false',
      'LARDER_FRESH: got "soon", expected a duration such as 500ms, 90s, 10m, 24h, 7d or 0',
      'LARDER_MEMORY: got "lots", expected a size such as 64KiB, 256MiB, 10GiB or 10GB, or 0',
      'LARDER_LOG: got "chatty", expected one of fatal, error, warn, info, debug, trace, silent',
    ]);
  });

  it("name every variable that is wrong, and no other", () => {
    const names = optionsTable().map((row) => row.env);
    const checked = names.filter(
      (name) => !["NO_PROXY", "LARDER_DATA", "LARDER_FILES_DIRECTORY"].includes(name),
    );
    fc.assert(
      fc.property(fc.subarray(checked), (wrong) => {
        const faults = faultsOf(Object.fromEntries(wrong.map((name) => [name, "( )"])));
        expect(faults.map((fault) => fault.split(":")[0])).toEqual(
          checked.filter((name) => wrong.includes(name)),
        );
      }),
    );
  });

  it("keep control characters and endless values out of the terminal", () => {
    const fault = theFaultOf({ LARDER_LOG: `\u001b[31m${"x".repeat(10_000)}` });
    expect(fault).toContain(String.raw`\u001b[31m`);
    expect(fault.length).toBeLessThan(300);
  });

  it("tell that larder would ask itself", () => {
    const env = { LARDER_UPSTREAM: "https://pypi.corp/", LARDER_PUBLIC_URL: "https://pypi.corp" };
    expect(theFaultOf(env)).toContain("larder would ask itself");
    expect(faultsOf({ ...env, LARDER_PUBLIC_URL: "https://pypi.corp/larder" })).toEqual([]);
  });

  it("tell that there is no front to hand files over to, and what LARDER_ACCEL takes", () => {
    expect(theFaultOf({ LARDER_ACCEL: "x-sendfile" })).toContain("LARDER_TRUST_PROXY names no front");
    const env = { LARDER_TRUST_PROXY: "loopback" };
    for (const right of ["none", "x-sendfile", "x-accel-redirect", "x-accel-redirect:/a/b/"])
      expect(faultsOf({ ...env, LARDER_ACCEL: right }), right).toEqual([]);
    for (const wrong of [
      "nginx",
      "x-accel-redirect:/",
      "x-accel-redirect:a",
      "x-accel-redirect:/a b/",
      "x-sendfile:/a/",
    ])
      expect(theFaultOf({ ...env, LARDER_ACCEL: wrong }), wrong).toContain("x-accel-redirect");
  });
});

describe("a bucket", () => {
  const s3 = (given: string) => read({ LARDER_S3: given }).s3;

  it("is named with where it is, and whether its name stands in the path", () => {
    expect(s3("s3://files/pypi/one/?region=eu-central-1")).toEqual({
      bucket: "files",
      prefix: "pypi/one",
      endpoint: undefined,
      region: "eu-central-1",
      pathStyle: false,
    });
    expect(s3("s3://files?endpoint=http://127.0.0.1:9000/")).toMatchObject({
      prefix: "",
      endpoint: "http://127.0.0.1:9000",
      pathStyle: true,
    });
  });

  it.each([
    "https://files",
    "s3://",
    "s3://Files",
    "s3://files?bucket=other",
    "s3://files?path-style=yes",
    "s3://files?endpoint=127.0.0.1:9000",
  ])("written as %s is a fault", (given) => {
    expect(theFaultOf({ LARDER_S3: given })).toContain("LARDER_S3: got");
  });

  it("is never given its credentials in the URL, and they are not repeated", () => {
    for (const given of ["s3://key:s3cret@files", "s3://files?endpoint=http://key:s3cret@host"]) {
      expect(theFaultOf({ LARDER_S3: given })).not.toContain("s3cret");
    }
  });

  it("is what clients can be sent to, and without one there is nowhere to send them", () => {
    expect(theFaultOf({ LARDER_S3_REDIRECT: "1" })).toContain("set LARDER_S3");
    expect(faultsOf({ LARDER_S3_REDIRECT: "1", LARDER_S3: "s3://files" })).toEqual([]);
  });
});

describe("an unknown LARDER_ name", () => {
  it.each([
    ["LARDER_FRSH", "LARDER_FRESH"],
    ["LARDER_FERSH", "LARDER_FRESH"],
    ["larder_fresh", "LARDER_FRESH"],
    ["LARDER_STALE_WHILE_REVALIDATION", "LARDER_STALE_WHILE_REVALIDATE"],
    ["LARDER_TRUSTED_PROXY", "LARDER_TRUST_PROXY"],
    ["LARDER_REDIS_URL", "REDIS_URL"],
    ["LARDER_PORT", "PORT"],
  ])("%s is an error that suggests %s", (given, meant) => {
    expect(theFaultOf({ [given]: "8080" })).toBe(`${given}: no such variable, did you mean ${meant}?`);
  });

  it("that is like no other gets no suggestion, and its value is not printed", () => {
    expect(theFaultOf({ LARDER_XYZZYQWQ: "s3cret" })).toBe("LARDER_XYZZYQWQ: no such variable");
  });

  it("is let pass where Kubernetes made it for a Service called larder", () => {
    const fromKubernetes = {
      LARDER_SERVICE_HOST: "10.0.0.1",
      LARDER_SERVICE_PORT: "8080",
      LARDER_SERVICE_PORT_HTTP: "8080",
      LARDER_PORT: "tcp://10.0.0.1:8080",
      LARDER_PORT_8080_TCP: "tcp://10.0.0.1:8080",
      LARDER_PORT_8080_TCP_PROTO: "tcp",
      LARDER_PORT_8080_TCP_PORT: "8080",
      LARDER_PORT_8080_TCP_ADDR: "10.0.0.1",
      LARDER_REDIS_SERVICE_HOST: "10.0.0.2",
      LARDER_REDIS_PORT: "tcp://10.0.0.2:6379",
    };
    expect(faultsOf(fromKubernetes)).toEqual([]);
  });

  it("finds every known name again after one slip of the finger", () => {
    const names = optionsTable().map((row) => row.env);
    const slip = fc.record({
      name: fc.constantFrom(...names.filter((name) => name.length > 8)),
      at: fc.nat(),
      kind: fc.constantFrom("drop", "double", "swap"),
    });
    fc.assert(
      fc.property(slip, ({ name, at, kind }) => {
        const index = "LARDER_".length + (at % (name.length - "LARDER_".length));
        const [a, b] = [name[index]!, name[index + 1] ?? ""];
        const slipped = { drop: "", double: a + a + b, swap: b + a }[kind];
        const typo = name.slice(0, index) + slipped + name.slice(index + (kind === "drop" ? 1 : 2));
        expect(nearestName(typo, names)).toBe(name);
      }),
    );
  });

  it("is measured by an edit distance that is a metric's", () => {
    const word = fc.string({ unit: fc.constantFrom("A", "B", "C"), maxLength: 8 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
        expect(editDistance(a, b)).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
      }),
    );
    expect(editDistance("FRESH", "FERSH")).toBe(1);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });
});

describe("a duration", () => {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

  it("is a whole number times its unit", () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.constantFrom("ms", "s", "m", "h", "d"), (count, unit) => {
        expect(duration().parse(`${count}${unit}`, noFile)).toEqual({ ok: true, value: count * units[unit] });
      }),
    );
  });

  it("is shown as it is read", () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (ms) => {
        expect(duration().parse(showDuration(ms), noFile)).toEqual({ ok: true, value: ms });
      }),
    );
    expect([0, 1, 90_000, 600_000, 86_400_000, Infinity].map(showDuration)).toEqual([
      "0",
      "1ms",
      "90s",
      "10m",
      "1d",
      "unlimited",
    ]);
  });

  it("is nothing else that a string may hold", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0159.+e smhd-]{0,9}$/)), (given) => {
        const isDuration = /^(\d{1,10}(ms|s|m|h|d)|0{1,15})$/.test(given);
        fc.pre(!/^\d{11,15}/.test(given) || isDuration);
        expect(duration().parse(given, noFile).ok).toBe(isDuration);
      }),
    );
  });

  it("without a unit is refused with the unit to add", () => {
    expect(theFaultOf({ LARDER_FRESH: "90" })).toContain("(add a unit: 90s or 90m)");
    expect(read({ LARDER_FRESH: "0" }).freshMs).toBe(0);
  });

  it("keeps to the bounds of its option: 60s of negative lifetime, 61s refused", () => {
    expect(read({ LARDER_NEGATIVE: "60s" }).negativeMs).toBe(60_000);
    expect(theFaultOf({ LARDER_NEGATIVE: "61s" })).toContain("at most 1m");
    expect(theFaultOf({ LARDER_CONNECT_TIMEOUT: "0" })).toContain("at least 1ms");
  });

  it("is never longer than a timer can wait where a timer waits for it", () => {
    const longest = 2 ** 31 - 1;
    for (const { env, key } of optionsTable().filter((row) =>
      /TIMEOUT|PATIENCE|PROBE|BUDGET|SHUTDOWN/.test(row.env),
    )) {
      expect(read({ [env]: "24h" })[key]).toBeLessThan(longest);
      expect(theFaultOf({ [env]: "25d" })).toContain("at most 1d");
    }
  });

  it("is unlimited only where that makes sense", () => {
    expect(read({ LARDER_STALE_IF_ERROR: "unlimited" }).staleIfErrorMs).toBe(Infinity);
    expect(read({ LARDER_STALE_IF_ERROR: "7d" }).staleIfErrorMs).toBe(604_800_000);
    expect(theFaultOf({ LARDER_FRESH: "unlimited" })).toContain("expected a duration");
  });
});

describe("a size", () => {
  const units = {
    B: 1,
    kB: 1e3,
    KB: 1e3,
    MB: 1e6,
    GB: 1e9,
    KiB: 2 ** 10,
    MiB: 2 ** 20,
    GiB: 2 ** 30,
  } as const;

  it("is a whole number times its unit", () => {
    fc.assert(
      fc.property(
        fc.nat(100_000),
        fc.constantFrom("B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB"),
        (count, unit) => {
          expect(size().parse(`${count}${unit}`, noFile)).toEqual({ ok: true, value: count * units[unit] });
        },
      ),
    );
  });

  it("is shown as it is read", () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (bytes) => {
        expect(size().parse(showSize(bytes), noFile)).toEqual({ ok: true, value: bytes });
      }),
    );
    expect([0, 1, 2 ** 28, 1e10, 2 ** 30].map(showSize)).toEqual(["0", "1B", "256MiB", "10GB", "1GiB"]);
  });

  it("without a unit, or with one that is no unit of bytes, is refused", () => {
    expect(theFaultOf({ LARDER_MEMORY: "268435456" })).toContain("add a unit");
    for (const given of ["256M", "256mib", "1.5GiB", "-1MiB", "256 MiB", "MiB"]) {
      expect(theFaultOf({ LARDER_MEMORY: given })).toContain("expected a size such as");
    }
  });
});

describe("base URLs", () => {
  it("are normalized to have no slash at the end", () => {
    const config = read({
      LARDER_UPSTREAM: "https://Nexus.corp:443/repository/pypi//",
      LARDER_PUBLIC_URL: "http://[::1]:8080/",
    });
    expect(config.upstreamUrl).toBe("https://nexus.corp/repository/pypi");
    expect(config.publicUrl).toBe("http://[::1]:8080");
  });

  it.each([
    ["pypi.org", "begin with https://"],
    ["ftp://pypi.org", "expected an http or https URL"],
    ["https:pypi.org", "expected an http or https URL"],
    ["https://", "expected an http or https URL"],
    ["https:///packages", "expected an http or https URL"],
    ["https://pypi.org:99999", "expected an http or https URL"],
    ["https://py\tpi.org", "expected an http or https URL"],
    ["https://pypi.org?a=b", "leave out the query"],
    ["https://pypi.org/#", "leave out the query"],
    ["https://ada:s3cret@pypi.org", "leave out the user name and password"],
  ])("refuses %j", (given, why) => {
    expect(theFaultOf({ LARDER_UPSTREAM: given })).toContain(why);
  });

  it("of mirrors are kept in order, each once", () => {
    expect(read({ LARDER_FILES: "https://b.corp/pypi/, http://a.corp,https://b.corp/pypi" }).files).toEqual({
      kind: "mirrors",
      bases: ["https://b.corp/pypi", "http://a.corp"],
    });
    expect(read({ LARDER_FILES: "upstream" }).files).toEqual({ kind: "upstream" });
    expect(theFaultOf({ LARDER_FILES: "https://a.corp,,https://b.corp" })).toContain(
      "expected larder, upstream, or one or",
    );
    expect(theFaultOf({ LARDER_FILES: "upstream,https://b.corp" })).toContain("begin with https://");
  });
});

describe("secrets", () => {
  const SECRET = "hunter2";

  it.each([
    { REDIS_URL: `redis://ada:${SECRET}@redis.corp:99999` },
    { REDIS_URL: `redis://:${SECRET}` },
    { REDIS_URL: `redis://:p/${SECRET}#@redis.corp` },
    { REDIS_URL: `redis://:p@${SECRET}@redis corp` },
    { REDIS_URL: `ada:${SECRET}@redis.corp` },
    { REDIS_URL: `redis:ada:${SECRET}` },
    { REDIS_URL: `redis+sentinel://h:1,h:2/m?sentinel-pass=${SECRET}` },
    { REDIS_URL: `redis://h\n:${SECRET}` },
    { HTTPS_PROXY: `socks5://ada:${SECRET}@proxy.corp:3128` },
    { http_proxy: `https://ada:${SECRET}@proxy corp:3128` },
    { LARDER_FILES: `https://a.corp,https://ada:${SECRET}@b.corp` },
    { LARDER_UPSTREAM: `https://ada:${SECRET}@pypi.corp` },
    { LARDER_PUBLIC_URL: `https://pypi.corp?token=${SECRET}` },
    { LARDER_LOG: `redis://ada:${SECRET}@redis.corp` },
  ])("do not show up in a fault: %j", (env) => {
    const fault = theFaultOf(env);
    expect(fault).toContain(Object.keys(env)[0]);
    expect(fault).not.toContain(SECRET);
  });

  it("do not show up in the start-up log, though in the configuration they do", () => {
    const config = read({
      REDIS_URL: `rediss://ada:${SECRET}@redis.corp:6380/2`,
      HTTPS_PROXY: `http://ada:${SECRET}@proxy.corp:3128`,
    });
    expect(config.httpsProxy).toBe(`http://ada:${SECRET}@proxy.corp:3128/`);
    expect(config.redis).toMatchObject({ password: SECRET, tls: true });
    const shown = describeConfig(config);
    expect(JSON.stringify(shown)).not.toContain(SECRET);
    expect(shown).toMatchObject({
      REDIS_URL: "rediss://redis.corp:6380/2",
      HTTPS_PROXY: "http://***@proxy.corp:3128/",
      LARDER_FRESH: "10m",
    });
  });
});

describe("proxies", () => {
  it("are read in lower case first, as curl and undici do", () => {
    expect(read({ HTTP_PROXY: "http://upper:1", http_proxy: "http://lower:2" }).httpProxy).toBe(
      "http://lower:2/",
    );
    expect(read({ HTTP_PROXY: "http://upper:1", http_proxy: "" }).httpProxy).toBe("http://upper:1/");
    expect(read({ no_proxy: "localhost,.corp" }).noProxy).toBe("localhost,.corp");
  });

  it("without a scheme are asked with http, as curl does", () => {
    expect(read({ https_proxy: "proxy.corp:3128" }).httpsProxy).toBe("http://proxy.corp:3128/");
  });

  it("that are wrong are reported by the name that was set", () => {
    expect(theFaultOf({ https_proxy: "socks5://proxy.corp" })).toMatch(/^https_proxy: got "socks5:/);
  });
});

describe("LARDER_TRUST_PROXY", () => {
  const trusts = (configured: string, address: string | undefined): boolean =>
    read({ LARDER_TRUST_PROXY: configured }).trustedProxies.trusts(address);

  it.each([
    ["none", "127.0.0.1", false],
    ["all", "203.0.113.9", true],
    ["all", "2001:db8::1", true],
    ["all", undefined, false],
    ["all", "", false],
    ["loopback", "127.8.9.10", true],
    ["loopback", "::1", true],
    ["loopback", "::ffff:127.0.0.1", true],
    ["loopback", "10.0.0.1", false],
    ["private", "10.255.255.255", true],
    ["private", "11.0.0.0", false],
    ["private", "172.16.5.162", true],
    ["private", "172.32.0.0", false],
    ["private", "192.168.0.1", true],
    ["private", "fdaa::3", true],
    ["private", "127.0.0.1", false],
    ["private, loopback", "127.0.0.1", true],
    ["203.0.113.9", "203.0.113.9", true],
    ["203.0.113.9", "203.0.113.8", false],
    ["203.0.113.9", "::ffff:203.0.113.9", true],
    ["203.0.113.0/24,2001:db8::/32", "203.0.113.255", true],
    ["203.0.113.0/24,2001:db8::/32", "2001:db8:ffff::1", true],
    ["203.0.113.0/24,2001:db8::/32", "2001:db9::", false],
    ["fe80::/10", "fe80::1%eth0", true],
  ])("%s: %s is trusted: %s", (configured, address, expected) => {
    expect(trusts(configured, address)).toBe(expected);
  });

  it.each([
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0",
    "proxy.corp",
    "10.0.0.1,",
    "none,loopback",
  ])("refuses %s", (given) => {
    expect(theFaultOf({ LARDER_TRUST_PROXY: given })).toContain("expected none, all, or a list");
  });
});

describe("LARDER_CONTACT", () => {
  it.each(["ops@corp.example", "https://corp.example/larder", "mailto:ops@corp.example"])(
    "may be %s",
    (given) => {
      expect(read({ LARDER_CONTACT: given }).contact).toBe(given);
    },
  );

  it.each([
    "the ops team",
    "ops@corp.example)",
    "ops@corp.example\\",
    "ops@cörp.example",
    "ops",
    "ops@a\nX-Evil: 1",
  ])("may not be %j, which User-Agent cannot hold or nobody can write to", (given) => {
    expect(theFaultOf({ LARDER_CONTACT: given })).toContain("printable ASCII");
  });
});

// A throw-away CA; its key was never kept.
const CA_PEM = `-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIUA06vVIQU7IlHSXa07L7wSGxz2HAwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObGFyZGVyIHRlc3QgQ0EwIBcNMjYxMTIzMTg1MTQzWhgPMjEy
NjEwMzAxODUxNDNaMBkxFzAVBgNVBAMMDmxhcmRlciB0ZXN0IENBMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEflvOHmAJ+toHQRyJ/4J4Gqm1taUbi8aKZojSeZZn
+VORLRF2zQZVBnxoa36exzP/Evny7l/yfHsggz4RbRpj5KNTMFEwHQYDVR0OBBYE
FFKQADj5N8Kz0444fKG6z3l2/lo6MB8GA1UdIwQYMBaAFFKQADj5N8Kz0444fKG6
z3l2/lo6MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgZkhh6GcJ
DBRoosy/jfQPuS02dseJTarRh9lhn2K2CQMCIBMGkd3SlIhUt71Btu1wnxTgukBO
fPLf/bETesytlT+4
-----END CERTIFICATE-----
`;

describe("LARDER_CA", () => {
  let directory = "";
  let file = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "larder-config-"));
    file = join(directory, "ca.pem");
    writeFileSync(file, CA_PEM);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("is read from the disk at the start", () => {
    const config = readConfig({ LARDER_CA: file });
    expect(config.ca).toEqual({ file, pem: CA_PEM });
    expect(describeConfig(config)["LARDER_CA"]).toBe(file);
  });

  it("may hold several certificates", () => {
    expect(
      readConfig({ LARDER_CA: "bundle.pem" }, () => `# root\n${CA_PEM}# other\n${CA_PEM}`).ca?.pem,
    ).toContain("# other");
  });

  it("stops the start when it is missing or holds no certificate that can be read", () => {
    expect(
      faultsOf({ LARDER_CA: join(directory, "none.pem") }, (path) => readFileSync(path, "utf8"))[0],
    ).toMatch(/^LARDER_CA: got ".*none\.pem", expected the path of a PEM file .*ENOENT/);
    expect(faultsOf({ LARDER_CA: "a" }, () => "hello")[0]).toContain("the file holds no certificate");
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    expect(faultsOf({ LARDER_CA: "a" }, () => CA_PEM + broken)).toHaveLength(1);
  });
});

describe("the table of options", () => {
  it("has a name, a help and a reason for every option, and no name twice", () => {
    const rows = optionsTable();
    expect(new Set(rows.map((row) => row.env)).size).toBe(rows.length);
    for (const row of rows) {
      expect(row.help, row.env).not.toBe("");
      expect(row.reason, row.env).not.toBe("");
      expect(row.accepts, row.env).not.toBe("");
    }
  });
});
