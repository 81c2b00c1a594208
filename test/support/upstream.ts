import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import { textAnswer, type Answer, type Site } from "./upstream/answers.ts";
import { BodyGates, type BodyGate } from "./upstream/body-gates.ts";
import { createChangelog, type Changelog } from "./upstream/changelog.ts";
import { alter, deliver, isDeliveryFault, type Fault } from "./upstream/faults.ts";
import { Journal, matches, type PathMatch, type RecordedRequest } from "./upstream/journal.ts";
import { createFeeds } from "./upstream/feeds.ts";
import { createFiles, type Files } from "./upstream/files.ts";
import { createIntegrity, type Integrity } from "./upstream/integrity.ts";
import { createJsonApi, type JsonApi } from "./upstream/json-api.ts";
import { jsonApiReleases, simplePage } from "./upstream/publish.ts";
import { createSimpleApi, type SimpleApi } from "./upstream/simple.ts";
import { buildPackage, type BuiltPackage, type Package } from "./packages/build.ts";

export interface FakeUpstreamOptions {
  /** Serves https: with these, PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** What `Date` says; the machine's time where not given. */
  readonly now?: () => number;
}

/** Holds answers back. */
export interface Gate {
  /** How many answers wait behind it. */
  readonly waiting: number;
  /** Sends them all, and holds no more. */
  release(): void;
}

export interface FaultScope {
  /** Only for these; all where not given. */
  readonly path?: PathMatch;
  /** For so many requests; until cleared where not given. */
  readonly times?: number;
}

/** pypi.org on 127.0.0.1, with a memory of what it was asked and with switchable faults. */
export interface FakeUpstream
  extends
    Omit<JsonApi, "site">,
    Omit<SimpleApi, "site">,
    Omit<Integrity, "site">,
    Omit<Files, "site">,
    Pick<Changelog, "journal"> {
  /** What is put, published or removed is written down there. */
  readonly changelog: Pick<Changelog, "lastSerial" | "restore" | "pageRows">;
  /** Base URL, without a slash at its end. */
  readonly url: string;
  /** Every request, in the order of arrival. */
  readonly requests: readonly RecordedRequest[];
  /** How many connections have been accepted. */
  readonly connections: number;
  count(match?: PathMatch): number;
  /**
   * Builds projects, and puts each on all surfaces at once: JSON API, Simple API, files with their metadata,
   * provenance, feeds. Replaces what was there; files of before stay, as PyPI's do.
   */
  publish(...packages: readonly Package[]): readonly BuiltPackage[];
  /** Resolves with the n-th request (from 1) for `match`, as soon as it has arrived. */
  arrived(n: number, match?: PathMatch): Promise<RecordedRequest>;
  /** Holds back the answers to all requests that arrive from now on. They are what they are on arrival. */
  hold(match?: PathMatch): Gate;
  /** Holds the bodies of answers for `path` back from the file's byte `atByte` on, all before it being sent. */
  holdBody(path: string, atByte: number): BodyGate;
  /** Answers wrongly. Faults of the answer add up; those of delivery follow one another. Returns how to stop. */
  fault(fault: Fault, scope?: FaultScope): () => void;
  clearFaults(): void;
  /** Whether a 304 carries X-PyPI-Last-Serial: false at first, as at the edge (facts/pypi.md §1.6). */
  serialOn304: boolean;
  /** Refuses connections from now on, and breaks those there are. */
  down(): Promise<void>;
  /** Listens again, on the same port. */
  up(): Promise<void>;
  /** Closes without waiting for anybody. */
  close(): Promise<void>;
}

// What Fastly lets through on a 304 (facts/pypi.md §1.6; RFC 9110 §15.4.5).
const FIELDS_ON_304: readonly string[] = ["cache-control", "etag", "vary", "date"];

interface Rule {
  readonly fault: Fault;
  readonly path: PathMatch;
  left: number;
}

interface Held {
  readonly match: PathMatch;
  readonly opened: Promise<void>;
  waiting: number;
}

/** Starts a fake upstream on a free port of 127.0.0.1. */
export async function startUpstream(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const journal = new Journal();
  const sockets = new Map<Socket, { readonly number: number; readonly closed: Promise<void> }>();
  const wires = new Set<Socket>(); // also those still in their TLS handshake
  const held = new Set<Held>();
  const scheme = options.tls === undefined ? "http" : "https";
  let rules: Rule[] = [];
  let connections = 0;
  let port = 0;
  const url = () => `${scheme}://127.0.0.1:${port}`;
  const api = createJsonApi(url);
  const simple = createSimpleApi(url);
  const integrity = createIntegrity();
  const feeds = createFeeds();
  const files = createFiles();
  const changelog = createChangelog();
  const bodyGates = new BodyGates();
  const sites: readonly Site[] = [
    api.site,
    simple.site,
    integrity.site,
    feeds.site,
    files.site,
    changelog.site,
  ];

  function record(request: IncomingMessage): RecordedRequest {
    const { method = "", url: target = "", headers } = request;
    const path = target.replace(/\?.*$/, "");
    const connection = sockets.get(request.socket);
    const recorded = {
      method,
      path,
      url: target,
      headers,
      connection: connection?.number ?? 0,
      closed: connection?.closed ?? Promise.resolve(),
    };
    journal.add(recorded);
    return recorded;
  }

  function takeFaults(path: string): Fault[] {
    const fitting = rules.filter((rule) => matches(path, rule.path));
    const delivery = fitting.find((rule) => isDeliveryFault(rule.fault));
    const taken = fitting.filter((rule) => rule === delivery || !isDeliveryFault(rule.fault));
    for (const rule of taken) rule.left -= 1;
    rules = rules.filter((rule) => rule.left > 0);
    return taken.map((rule) => rule.fault);
  }

  function properAnswer(request: RecordedRequest & { body: string }): Answer {
    for (const site of sites) {
      const answer = site(request);
      if (answer !== undefined) return answer.status === 304 ? asFrom304(answer) : answer;
    }
    return textAnswer(404, "text/html; charset=utf-8", "<h1>404</h1>");
  }

  function asFrom304(answer: Answer): Answer {
    const kept = upstream.serialOn304 ? [...FIELDS_ON_304, "x-pypi-last-serial"] : FIELDS_ON_304;
    const headers = Object.fromEntries(
      Object.entries(answer.headers).filter(([name]) => kept.includes(name)),
    );
    return { ...answer, headers };
  }

  async function passGates(path: string): Promise<void> {
    const gates = [...held].filter((gate) => matches(path, gate.match));
    for (const gate of gates) gate.waiting += 1;
    await Promise.all(gates.map((gate) => gate.opened));
    for (const gate of gates) gate.waiting -= 1;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const recorded = record(request);
    const body = recorded.method === "POST" ? await textOf(request) : "";
    const faults = takeFaults(recorded.path);
    const delivery = faults.find(isDeliveryFault);
    const answer = alteredAnswer({ ...recorded, body }, faults);
    await passGates(recorded.path);
    const { socket } = response;
    if (socket === null || socket.destroyed) return;
    if (delivery !== undefined) return deliver(delivery, answer, socket);
    response.sendDate = false; // the answer has its own, or is to have none
    response.writeHead(answer.status, answer.headers);
    if (recorded.method === "HEAD") response.end();
    else await bodyGates.send(recorded.path, answer, response);
  }

  function alteredAnswer(request: RecordedRequest & { body: string }, faults: readonly Fault[]): Answer {
    let answer = dated(properAnswer(request));
    for (const fault of faults) {
      if (isDeliveryFault(fault)) continue;
      const altered = alter(fault, answer);
      answer = fault.kind === "headers" ? altered : dated(altered);
    }
    return answer;
  }

  function dated(answer: Answer): Answer {
    const date = new Date(options.now?.() ?? Date.now()).toUTCString();
    return { ...answer, headers: { date, ...answer.headers } };
  }

  const listener: RequestListener = (request, response) => void handle(request, response);
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  server.keepAliveTimeout = 0; // no hint to clients, and no connection closed between two steps of a test
  server.on("connection", (wire: Socket) => {
    wires.add(wire);
    wire.on("close", () => wires.delete(wire));
    wire.on("error", () => wire.destroy()); // the client's reset is the client's affair
  });
  server.on(options.tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    connections += 1;
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    sockets.set(socket, { number: connections, closed });
    socket.on("error", () => socket.destroy());
    void closed.then(() => sockets.delete(socket));
  });

  function publish(spec: Package): BuiltPackage {
    const built = buildPackage(spec);
    const bases = { index: url(), files: url() };
    const { name, serial, status } = built;
    // facts/pypi.md §8.12: a quarantined project has a page, and no document.
    if (status === "quarantined") api.remove(name);
    else api.project(name, { serial, releases: jsonApiReleases(built, bases) });
    simple.simple(name, simplePage(built, bases));
    for (const { version, files: ofRelease } of built.releases) {
      for (const file of ofRelease) {
        files.file(file.path, file.bytes);
        if (file.metadata !== undefined) files.file(`${file.path}.metadata`, file.metadata.bytes);
        integrity.attest(name, version, file.filename, file.hasProvenance ? undefined : false);
      }
      feeds.announce(name, version);
    }
    writeDown(built);
    return built;
  }

  /** One upload is a change for each file and one for the release, the project's serial being the last one's. */
  function writeDown({ name, serial, releases }: BuiltPackage): void {
    const actions = releases.flatMap(({ version, files: ofRelease }) => [
      { version, action: "new release" },
      ...ofRelease.map(({ filename }) => ({ version, action: `add py3 file ${filename}` })),
    ]);
    for (const [index, entry] of actions.entries()) {
      const own = serial - (actions.length - 1 - index);
      if (own > 0) changelog.journal(name, { ...entry, serial: own });
    }
  }

  const upstream: FakeUpstream = {
    journal: changelog.journal,
    changelog,
    publish: (...packages) => packages.map(publish),
    simple: simple.simple,
    removeSimple: simple.removeSimple,
    attest: integrity.attest,
    file: files.file,
    removeFile: files.removeFile,
    project: (name, options = {}) => {
      api.project(name, options);
      changelog.journal(name, { serial: options.serial ?? 1 });
    },
    release: api.release,
    remove: (project, version) => {
      api.remove(project, version);
      if (version === undefined) changelog.journal(project, { action: "remove project" });
      else changelog.journal(project, { version, action: "remove release" });
    },
    get url() {
      return url();
    },
    requests: journal.requests,
    get connections() {
      return connections;
    },
    count: (match) => journal.count(match),
    arrived: (n, match) => journal.arrived(n, match),
    hold: (match) => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      const gate: Held = { match, opened: promise, waiting: 0 };
      held.add(gate);
      return {
        get waiting() {
          return gate.waiting;
        },
        release: () => {
          held.delete(gate);
          resolve(undefined);
        },
      };
    },
    holdBody: (path, atByte) => bodyGates.hold(path, atByte),
    fault: (fault, scope = {}) => {
      const rule: Rule = { fault, path: scope.path, left: scope.times ?? Number.POSITIVE_INFINITY };
      rules.push(rule);
      return () => {
        rules = rules.filter((other) => other !== rule);
      };
    },
    clearFaults: () => {
      rules = [];
    },
    serialOn304: false,
    down: () => stop(server, wires),
    up: () => listen(server, port),
    close: async () => {
      if (server.listening) await stop(server, wires);
    },
  };
  await listen(server, 0);
  port = (server.address() as AddressInfo).port;
  return upstream;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
}

async function stop(server: Server, sockets: Iterable<Socket>): Promise<void> {
  const closed = once(server, "close");
  server.close();
  for (const socket of sockets) socket.destroy();
  server.closeAllConnections();
  await closed;
}
