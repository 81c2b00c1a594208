import { Gauge, type Registry } from "prom-client";

interface Size {
  readonly entries: number;
  readonly bytes: number;
}

/** What is held, and what is up: read when, and only when, somebody asks for the metrics. */
export interface GaugeSources {
  readonly store: () => Size | Promise<Size>;
  readonly memory: () => Size;
  /** Files on disk, and fills under way. */
  readonly files: () => Size & { readonly filling: number };
  /** Whether the store answers. */
  readonly isStoreUp: () => boolean;
  /** Every configured mirror; empty for none. */
  readonly mirrors: () => Iterable<{ readonly base: string; readonly healthy: boolean }>;
}

/**
 * Gauges of what is held, and of what is up.
 *
 * @param onSurvived told when a source fails
 * @returns to be called before they are rendered. Never rejects: the gauges of a source that fails are left out
 */
export function createGauges(
  registers: Registry[],
  sources: GaugeSources,
  onSurvived: (what: string, key: string, error: unknown) => void,
): () => Promise<void> {
  const storeUp = new Gauge({
    name: "larder_store_up",
    help: "1 while the store answers, else 0.",
    aggregator: "min",
    registers,
  });
  // Workers share store and files, and each has a memory of its own.
  const store = sizeGauges("larder_store", "in the store", "max", registers);
  const memory = sizeGauges("larder_memory", "in the memory tier", "sum", registers);
  const files = sizeGauges("larder_files", "in the file cache", "max", registers);
  const filling = new Gauge({ name: "larder_files_filling", help: "Files being fetched now.", registers });
  const mirrorHealthy = new Gauge({
    name: "larder_mirror_healthy",
    help: "1 while a mirror answers its probes, else 0.",
    labelNames: ["base"],
    aggregator: "min",
    registers,
  });
  const refresh = async (
    what: string,
    gauges: SizeGauges,
    read: () => Size | Promise<Size>,
  ): Promise<void> => {
    try {
      gauges.set(await read());
    } catch (error) {
      // An old size would look like a good one: rather none.
      gauges.remove();
      onSurvived("metrics", `${what} size`, error);
    }
  };
  return async () => {
    storeUp.set(sources.isStoreUp() ? 1 : 0);
    for (const { base, healthy } of sources.mirrors()) mirrorHealthy.set({ base }, healthy ? 1 : 0);
    await refresh("memory", memory, sources.memory);
    await refresh("store", store, sources.store);
    await refresh("files", files, () => {
      const size = sources.files();
      filling.set(size.filling);
      return size;
    });
  };
}

interface SizeGauges {
  set(size: Size): void;
  remove(): void;
}

/** @param aggregator what becomes of the values of several workers */
function sizeGauges(
  prefix: string,
  where: string,
  aggregator: "max" | "sum",
  registers: Registry[],
): SizeGauges {
  const entries = new Gauge({ name: `${prefix}_entries`, help: `Entries ${where}.`, aggregator, registers });
  const bytes = new Gauge({
    name: `${prefix}_bytes`,
    help: `Bytes of bodies ${where}.`,
    aggregator,
    registers,
  });
  return {
    set(size) {
      entries.set(size.entries);
      bytes.set(size.bytes);
    },
    remove() {
      entries.remove();
      bytes.remove();
    },
  };
}
