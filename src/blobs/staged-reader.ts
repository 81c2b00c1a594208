import { UpstreamUnavailable } from "../errors.ts";
import type { Sink } from "./copy.ts";
import type { BlobReading, Opened } from "./fill.ts";
import { LeaderGone } from "./following.ts";

/** Where the bytes come from at the moment: a fill of this process, another's that is followed, or a finished file. */
export interface Stage {
  /** @throws LeaderGone where it has nothing to give and another follows; UpstreamUnavailable */
  join(): Promise<Opened>;
}

/** One who reads, from stage to stage, without noticing. */
export class StagedReader {
  readonly #onClose: (self: StagedReader) => void;
  /** Every reading there was: one that is being copied from may not be closed under its copying. */
  readonly #joined: Promise<Opened>[] = [];
  #moved = Promise.withResolvers<undefined>();

  constructor(onClose: (self: StagedReader) => void) {
    this.#onClose = onClose;
  }

  moveTo(stage: Stage): void {
    const joined = stage.join();
    joined.catch(() => undefined); // told to who copies
    this.#joined.push(joined);
    const { resolve } = this.#moved;
    this.#moved = Promise.withResolvers();
    resolve(undefined);
  }

  async open(): Promise<Opened> {
    try {
      const { opened, at } = await this.#openAfter(-1);
      if (opened.kind !== "absent") return { kind: "opened", reading: this.#reading(opened.reading, at) };
      this.#close();
      return opened;
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /** The first stage after that of this number which has anything to give. */
  async #openAfter(after: number): Promise<{ opened: Opened; at: number }> {
    for (let at = after + 1; ;) {
      const joined = this.#joined[at];
      if (joined === undefined) {
        await this.#moved.promise;
        continue;
      }
      try {
        return { opened: await joined, at };
      } catch (error) {
        if (!(error instanceof LeaderGone)) throw error;
        at += 1;
      }
    }
  }

  #reading(first: BlobReading, firstAt: number): BlobReading {
    let current = first;
    let stageAt = firstAt;
    const copy = async (startAt: number, endAt: number, sink: Sink, signal: AbortSignal): Promise<void> => {
      let at = startAt;
      const counted: Sink = async (piece) => {
        await sink(piece);
        at += piece.length;
      };
      for (;;) {
        try {
          await current.copy(at, endAt, counted, signal);
          return;
        } catch (error) {
          if (!(error instanceof LeaderGone)) throw error;
        }
        const next = await this.#openAfter(stageAt);
        if (next.opened.kind === "absent" || next.opened.reading.bytes !== first.bytes) {
          throw new UpstreamUnavailable("truncated", "the rest of the file is another than its beginning");
        }
        current = next.opened.reading;
        stageAt = next.at;
      }
    };
    return { ...first, copy, close: () => this.#close() };
  }

  #close(): void {
    this.#onClose(this);
    for (const joined of this.#joined.splice(0)) {
      joined.then(
        (opened) => {
          if (opened.kind === "opened") opened.reading.close();
        },
        () => undefined,
      );
    }
  }
}
