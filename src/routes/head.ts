import { STATUS_CODES, validateHeaderValue } from "node:http";
import type { Ms } from "../clock.ts";

/** A status and its fields: as Node's `writeHead` takes them, and as they go over the wire. */
export class Head {
  readonly status: number;
  /** Name, value, name, value. */
  readonly fields: string[];
  #block: string | undefined;

  constructor(status: number, fields: string[]) {
    this.status = status;
    this.fields = fields;
  }

  /**
   * Status line and fields up to the empty line, of an answer in HTTP/1.1 after which the connection goes on. Rendered once.
   *
   * @throws TypeError where a value could not be told from the field after it
   */
  get block(): string {
    return (this.#block ??= render(this));
  }
}

function render({ status, fields }: Head): string {
  let block = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [name = "", value = ""] = fields.slice(i, i + 2);
    validateHeaderValue(name, value);
    block += `${name}: ${value}\r\n`;
  }
  return `${block}Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_MS / 1_000}\r\n\r\n`;
}

/** clients.md rule 25: pip's next request comes after a build. Node's default of 5 s would close under its hands. */
export const KEEP_ALIVE_MS: Ms = 75_000;
