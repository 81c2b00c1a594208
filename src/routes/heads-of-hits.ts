import type { Answer } from "../cache/cache.ts";
import type { Clock } from "../clock.ts";
import type { HotFile } from "../resources/files.ts";
import { ageSeconds, type Surface } from "./document-fields.ts";
import type { Head } from "./head.ts";

/** The fields of a hit as they were rendered last, and all that they tell besides what is sent. */
interface RenderedHead {
  readonly surface: Surface;
  readonly etag: string | undefined;
  readonly date: string;
  readonly ttlSeconds: number;
  readonly ageSeconds: number;
  readonly head: Head;
}

/** Heads of hits, each rendered once for all that come within a second. */
export class HeadsOfHits {
  readonly #last = new WeakMap<object, RenderedHead>();

  /**
   * @param of what is sent: an object that stands for the same bytes, the same fields as long as it lives
   * @param etag where `of` alone does not tell it
   */
  head(of: object, surface: Surface, answer: Answer, clock: Clock, render: () => Head, etag?: string): Head {
    const { status, ttlMs, held } = answer;
    if (status.kind !== "hit" || status.detail !== undefined) return render();
    const { date } = held.entry;
    const ttlSeconds = Math.floor(ttlMs / 1000);
    const age = ageSeconds(answer, clock);
    const last = this.#last.get(of);
    const isSame =
      last?.ttlSeconds === ttlSeconds &&
      last.ageSeconds === age &&
      last.date === date &&
      last.etag === etag &&
      last.surface === surface;
    if (isSame) return last.head;
    const head = render();
    this.#last.set(of, { surface, etag, date, ttlSeconds, ageSeconds: age, head });
    return head;
  }
}

/** The fields of a file as they were rendered last. */
interface RenderedFileHead {
  readonly asked: string;
  readonly dateAt: number;
  readonly ageSeconds: number;
  readonly head: Head;
}

/** Heads of files that memory has, likewise: of a file nothing changes but its age. */
export class HeadsOfFiles {
  readonly #last = new WeakMap<HotFile, RenderedFileHead>();

  /** @param asked what of the file: method and range */
  head(file: HotFile, asked: string, clock: Clock, render: () => Head): Head {
    const last = this.#last.get(file);
    const dateAt = last?.dateAt ?? Date.parse(file.facts.date);
    const age = Math.floor((clock.now() - dateAt) / 1000);
    if (last?.asked === asked && last.ageSeconds === age) return last.head;
    const head = render();
    this.#last.set(file, { asked, dateAt, ageSeconds: age, head });
    return head;
  }
}
