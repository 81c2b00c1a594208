import type { EpochMs, Ms } from "../clock.ts";
import { UpstreamUnavailable } from "../errors.ts";
import { inSlices } from "../event-loop.ts";
import { normalizeProject } from "../pypi/names.ts";
import { decodeBody } from "../upstream/decode.ts";
import { type PostAnswer, untilAllowedMs } from "../upstream/post.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { NotXmlRpc, type XmlCursor } from "./xml-cursor.ts";
import {
  enterArray,
  type Fault,
  leavesArray,
  methodCall,
  readNumber,
  readResponse,
  readString,
  skipScalar,
} from "./xml-rpc.ts";

/** One answer to `changelog_since_serial`: what changed, each project once. */
export interface Page {
  /** Normalized names of projects, each with its newest serial. */
  readonly marks: ReadonlyMap<string, number>;
  /** How many changes they came of. */
  readonly rows: number;
  /** Of the last row; undefined where there is none. */
  readonly lastSerial: number | undefined;
}

/** What upstream answered. */
export interface Asked<T> {
  readonly value: T;
  /** As of when it is the answer: when it was asked for. */
  readonly asOf: EpochMs;
  /** How long upstream wants to be left alone with such questions; 0 where it does not. */
  readonly waitMs: Ms;
}

/** PyPI's journal of changes, by XML-RPC (facts/pypi.md §4.2). */
export interface Changelog {
  /**
   * The serial of the newest change there is.
   * @throws UpstreamUnavailable
   */
  lastSerial(): Promise<Asked<number>>;
  /**
   * The changes after a serial, from the oldest on: as many as upstream gives at a time (50,000).
   * @throws UpstreamUnavailable
   */
  since(serial: number): Promise<Asked<Page>>;
}

const PATH = "/pypi";
// 50,000 rows are 16 MB in XML.
const MAX_BYTES = 96 * 1024 * 1024;
const MAX_ROWS = 250_000;
/** What is read in one turn of the event loop: a few ms. */
const SLICE_ROWS = 1_000;

/** Asks through `upstream`: behind its limiter, with its time-outs and one retry. */
export function createChangelog(upstream: Pick<Upstream, "post">): Changelog {
  async function call<T>(
    body: string,
    value: (cursor: XmlCursor) => Generator<undefined, T>,
  ): Promise<Asked<T>> {
    const answer = await upstream.post(PATH, { contentType: "text/xml", body, maxBytes: MAX_BYTES });
    const bytes = await decodeBody(answer.body, answer.coding, MAX_BYTES);
    const found = await read(bytes, value);
    if (isFault(found)) throw refusal(found, answer);
    return { value: found, asOf: answer.confirmedAt, waitMs: untilAllowedMs(answer) };
  }
  return {
    lastSerial: () => call(methodCall("changelog_last_serial"), readSerial),
    since: (serial) => call(methodCall("changelog_since_serial", serial), readPage),
  };
}

async function read<T>(
  bytes: Buffer,
  value: (cursor: XmlCursor) => Generator<undefined, T>,
): Promise<T | Fault> {
  try {
    return await inSlices(readResponse(bytes, value));
  } catch (error) {
    if (!(error instanceof NotXmlRpc)) throw error;
    throw new UpstreamUnavailable("not-xmlrpc", error.message, { cause: error, status: 200 });
  }
}

function* readSerial(cursor: XmlCursor): Generator<undefined, number> {
  return readNumber(cursor);
}

/**
 * Reads rows of `[name, version or nil, time, action, serial]`, ascending by serial.
 * @throws NotXmlRpc
 */
function* readPage(cursor: XmlCursor): Generator<undefined, Page> {
  const marks = new Map<string, number>();
  let rows = 0;
  let lastSerial: number | undefined;
  if (enterArray(cursor)) {
    do {
      const [name, serial] = readRow(cursor);
      if (serial <= (lastSerial ?? 0)) cursor.fail("serials that do not ascend");
      lastSerial = serial;
      // What no project can be called nobody can have asked for.
      const project = normalizeProject(name);
      if (project !== undefined) marks.set(project, serial);
      rows += 1;
      if (rows > MAX_ROWS) cursor.fail("too many rows");
      if (rows % SLICE_ROWS === 0) yield;
    } while (!leavesArray(cursor));
  }
  return { marks, rows, lastSerial };
}

function readRow(cursor: XmlCursor): [string, number] {
  if (!enterArray(cursor)) return cursor.fail("an empty row");
  const name = readString(cursor);
  skipScalar(cursor); // version
  skipScalar(cursor); // when
  skipScalar(cursor); // what happened
  const serial = readNumber(cursor);
  if (!leavesArray(cursor)) cursor.fail("a row of more than five");
  return [name, serial];
}

function isFault(found: unknown): found is Fault {
  return typeof found === "object" && found !== null && "kind" in found && found.kind === "fault";
}

/** Over its limit, PyPI answers 200 with a fault that says when there is more (facts/pypi.md §4.2). */
function refusal({ code, message }: Fault, answer: PostAnswer): UpstreamUnavailable {
  const said = message.slice(0, 200);
  if (!/HTTPTooManyRequests|too many requests/i.test(message)) {
    return new UpstreamUnavailable("not-xmlrpc", `fault ${code}: ${said}`, { status: 200 });
  }
  const seconds = /reset in (\d{1,6}) second/i.exec(message)?.[1];
  const saidMs = seconds === undefined ? 0 : Number(seconds) * 1_000;
  const retryAfterMs = Math.max(saidMs, untilAllowedMs(answer));
  return new UpstreamUnavailable("rate-limited", said, {
    status: 200,
    retryAfterMs: retryAfterMs === 0 ? undefined : retryAfterMs,
  });
}
