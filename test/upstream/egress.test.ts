import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { describe, expect, it, onTestFinished } from "vitest";
import { startForwardProxy, type ForwardProxy, type ForwardProxyOptions } from "../support/forward-proxy.ts";
import { createTestPki } from "../support/tls.ts";
import { JSON_GET, failureOf, startPair } from "./pair.ts";

const PATH = "/pypi/django/json";
const OK = { kind: "ok", etagMatched: true };
const pki = createTestPki();
const tls = { key: pki.key, cert: pki.cert };

async function startProxy(options?: ForwardProxyOptions): Promise<ForwardProxy> {
  const proxy = await startForwardProxy(options);
  onTestFinished(() => proxy.close());
  return proxy;
}

describe("TLS", () => {
  it("trusts an upstream whose private CA is given", async () => {
    const { fake, upstream } = await startPair({ fake: { tls }, egress: { caPem: pki.ca } });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });

  it("does not trust one whose CA is not", async () => {
    const { fake, upstream } = await startPair({ fake: { tls } });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "connect" });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "connect" });
    expect(fake.requests).toHaveLength(0);
  });

  it("does not trust one whose certificate is of another private CA", async () => {
    const { fake, upstream } = await startPair({
      fake: { tls },
      egress: { caPem: createTestPki().ca },
    });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "connect" });
    expect(fake.requests).toHaveLength(0);
  });

  it("trusts the default roots as well as the CA that is given", async () => {
    const roots = getCACertificates("default");
    onTestFinished(() => setDefaultCACertificates(roots));
    setDefaultCACertificates([pki.ca]);
    const { fake, upstream } = await startPair({ fake: { tls }, egress: { caPem: createTestPki().ca } });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });

  it("works for the fresh connection of a retry too", async () => {
    const { fake, upstream } = await startPair({ fake: { tls }, egress: { caPem: pki.ca } });
    fake.project("django");
    fake.fault({ kind: "close-before-head" }, { times: 1 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
  });
});

describe("a forward proxy", () => {
  it("is asked in absolute form for http:", async () => {
    const proxy = await startProxy();
    const { fake, upstream } = await startPair({ egress: { httpProxy: proxy.url } });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toEqual([`GET ${fake.url}${PATH}`]);
    expect(fake.requests[0]?.headers.host).toBe(new URL(fake.url).host);
  });

  it("is asked for a tunnel for https:, with TLS through it to the private CA's upstream", async () => {
    const proxy = await startProxy();
    const { fake, upstream } = await startPair({
      fake: { tls },
      egress: { httpsProxy: proxy.url, caPem: pki.ca },
    });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toEqual([`CONNECT ${new URL(fake.url).host}`]);
  });

  it("may itself be behind TLS of the private CA", async () => {
    const proxy = await startProxy({ tls });
    const egress = { httpProxy: proxy.url, httpsProxy: proxy.url, caPem: pki.ca };
    const plain = await startPair({ egress });
    const secure = await startPair({ fake: { tls }, egress });
    plain.fake.project("django");
    secure.fake.project("django");
    expect(await plain.upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(await secure.upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toHaveLength(2);
  });

  it.each(["http", "https"] as const)(
    "gets the credentials of its URL, upstream does not: %s",
    async (scheme) => {
      const proxy = await startProxy({ credentials: { user: "a user", password: "p@ss:word" } });
      const { fake, upstream } = await startPair({
        ...(scheme === "https" ? { fake: { tls } } : {}),
        egress: { httpProxy: proxy.url, httpsProxy: proxy.url, caPem: pki.ca },
      });
      fake.project("django");
      expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
      expect(fake.requests[0]?.headers).not.toHaveProperty("proxy-authorization");
    },
  );

  it.each(["http", "https"] as const)(
    "that refuses them is a failure to connect, which tells no secret: %s",
    async (scheme) => {
      const proxy = await startProxy({ credentials: { user: "user", password: "right" } });
      const wrong = proxy.url.replace("right", "hunter2");
      const { fake, upstream } = await startPair({
        ...(scheme === "https" ? { fake: { tls } } : {}),
        egress: { httpProxy: wrong, httpsProxy: wrong, caPem: pki.ca },
      });
      const failure = await failureOf(upstream.get(PATH, JSON_GET));
      expect(failure).toMatchObject({ failure: "connect" });
      expect(failure.message).not.toContain("hunter2");
      expect(fake.requests).toHaveLength(0);
    },
  );

  it.each(["127.0.0.1", "example.org, 127.0.0.1", "*"])(
    "is passed by for hosts in NO_PROXY: %s",
    async (noProxy) => {
      const proxy = await startProxy();
      const { fake, upstream } = await startPair({ egress: { httpProxy: proxy.url, noProxy } });
      fake.project("django");
      expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
      expect(proxy.requests).toHaveLength(0);
    },
  );

  it("for http: alone is not used for https:", async () => {
    const proxy = await startProxy();
    const { fake, upstream } = await startPair({
      fake: { tls },
      egress: { httpProxy: proxy.url, caPem: pki.ca },
    });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toHaveLength(0);
  });

  it("for https: alone is not used for http:", async () => {
    const proxy = await startProxy();
    const { fake, upstream } = await startPair({ egress: { httpsProxy: proxy.url } });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toHaveLength(0);
  });

  it("carries the fresh connection of a retry too", async () => {
    const proxy = await startProxy();
    const { fake, upstream } = await startPair({
      fake: { tls },
      egress: { httpsProxy: proxy.url, caPem: pki.ca },
    });
    fake.project("django");
    fake.fault({ kind: "close-before-head" }, { times: 1 });
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toHaveLength(2);
  });

  it("that answers no CONNECT is a time-out to connect", async () => {
    const proxy = await startProxy({ hangOnConnect: true });
    const { upstream } = await startPair({
      fake: { tls },
      egress: { httpsProxy: proxy.url, caPem: pki.ca, connectTimeoutMs: 30 },
    });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "connect-timeout" });
  });

  it("that is down is a failure to connect", async () => {
    const proxy = await startForwardProxy();
    await proxy.close();
    const { upstream } = await startPair({ egress: { httpProxy: proxy.url } });
    expect(await failureOf(upstream.get(PATH, JSON_GET))).toMatchObject({ failure: "connect" });
  });

  it("is never taken from the environment", async () => {
    const proxy = await startProxy();
    const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];
    const before = names.map((name) => [name, process.env[name]] as const);
    for (const name of names) process.env[name] = proxy.url;
    onTestFinished(() => {
      for (const [name, value] of before) {
        if (value === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = value;
      }
    });
    const other = await startProxy();
    const { fake, upstream } = await startPair({ egress: { httpsProxy: other.url } });
    fake.project("django");
    expect(await upstream.get(PATH, JSON_GET)).toMatchObject(OK);
    expect(proxy.requests).toHaveLength(0);
  });
});
