import type { Clock } from "../clock.ts";
import type { HashPath } from "../pypi/file-path.ts";
import type { Exchange } from "./exchange.ts";
import { Head } from "./head.ts";
import { type File, replyOf, ROUTE } from "./file-answers.ts";
import { renderFields, sendRendered } from "./send.ts";

/** Handing files over to the front: larder says which one, and the front sends it from larder's own directory. */
export interface HandOver {
  /**
   * The field that names a file, and its value.
   * @param name of the file on disk: hexadecimal digits, a slash and a hyphen
   */
  readonly field: (name: string) => readonly [name: string, value: string];
  /** Whether this peer is the front. A client that comes another way would take the field for an empty file. */
  readonly isFront: (address: string) => boolean;
}

/**
 * Hands a file over, where the front asks for it and it is whole on disk; undefined where larder is to send it. Ranges are
 * then the front's own matter: it has the bytes, and takes the status for that of the whole. A HEAD has nothing to send.
 */
export function handOver(
  exchange: Exchange,
  path: HashPath,
  file: File,
  options: { readonly handOver?: HandOver; readonly clock: Clock },
): Response | undefined {
  const { incoming } = exchange;
  const name = file.reading?.name;
  if (options.handOver === undefined || name === undefined || incoming.method !== "GET") return undefined;
  if (!options.handOver.isFront(incoming.socket.remoteAddress ?? "")) return undefined;
  const reply = replyOf(exchange, path, file, { kind: "whole" }, options.clock);
  const fields = [...withoutLength(reply.fields), ...options.handOver.field(name), "Content-Length", "0"];
  const head = new Head(reply.status, renderFields({ ...reply, fields }));
  return sendRendered(exchange, ROUTE, { ...reply, body: undefined }, head);
}

/** That of the file is the front's to tell: this answer has no body. */
function withoutLength(fields: readonly string[]): string[] {
  const at = fields.indexOf("Content-Length");
  return fields.toSpliced(at, 2);
}
