import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import type { BuiltFile, BuiltPackage, Package } from "../support/packages/build.ts";
import { type LarderProcess, startProcess } from "../support/process.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { PACKAGES } from "./fixture.ts";
import { closeOutside, takeAskedOutside, watchOutside } from "./outside.ts";

/** Larder in a process of its own, in front of a fake PyPI that has the fixture's packages. */
export interface Scene {
  readonly upstream: FakeUpstream;
  /** What clients are pointed at: `http://127.0.0.1:<port>`, the same after a restart. */
  readonly base: string;
  /** `base` + `/simple/`. */
  readonly index: string;
  /** A file that was published. */
  file(filename: string): BuiltFile;
  /** What of upstream was asked for more than once, by GET: nothing should be. Empty where larder is left out. */
  askedTwice(): readonly string[];
}

// For the one who looks for a fault: the same tests against the fake PyPI itself, without larder.
const IS_CONTROL = process.env["CLIENTS_CONTROL"] === "1";

// The second round finds all within its lifetime. In the third, upstream is tried for each page, in vain.
const NOTHING_IS_FRESH = { LARDER_FRESH: "0s", LARDER_STALE_WHILE_REVALIDATE: "0s" };

// Above the limit of a client's own (workplace.ts), so that what it said is seen.
const PATIENCE = { timeout: 120_000 };

export interface SceneOptions {
  /** What is on the fake PyPI; the fixture where not given. */
  readonly packages?: readonly Package[];
  /** Further tests, for the first round only: other ways to say the same to a client. */
  readonly onceMore?: (scene: Scene) => void;
}

/**
 * Registers `tests` three times, one after the other: with upstream there, with upstream gone, and once more after
 * larder was killed (SIGKILL) and started again with upstream still gone and every page stale. What the first round asked for is all that
 * there is in the others. Each round's clients begin with nothing of their own.
 */
export function throughLarder(tests: (scene: Scene) => void, options: SceneOptions = {}): void {
  const scene = new RunningScene();
  beforeAll(async () => {
    await watchOutside();
    await scene.open(options.packages ?? PACKAGES);
  });
  afterAll(async () => {
    await scene.close();
    await closeOutside();
  });
  afterEach(() => {
    expect(scene.takeTroubles(), "what larder answered with 5xx").toEqual([]);
    expect(takeAskedOutside(), "what was asked of others than larder").toEqual([]);
  });
  describe("with upstream there", PATIENCE, () => {
    tests(scene);
    options.onceMore?.(scene);
  });
  describe.skipIf(IS_CONTROL)("with upstream gone", PATIENCE, () => {
    beforeAll(() => scene.upstream.down());
    tests(scene);
  });
  describe.skipIf(IS_CONTROL)("after kill -9 and a restart, with upstream gone", PATIENCE, () => {
    beforeAll(() => scene.restart());
    tests(scene);
  });
}

class RunningScene implements Scene {
  #upstream: FakeUpstream | undefined;
  #larder: LarderProcess | undefined;
  #built: readonly BuiltPackage[] = [];
  #linesSeen = 0;
  #data = "";

  get upstream(): FakeUpstream {
    if (this.#upstream === undefined) throw new Error("the scene is not open");
    return this.#upstream;
  }

  get base(): string {
    return IS_CONTROL ? this.upstream.url : (this.#larder?.url ?? "");
  }

  get index(): string {
    return `${this.base}/simple/`;
  }

  file(filename: string): BuiltFile {
    const files = this.#built.flatMap(({ releases }) => releases.flatMap((release) => release.files));
    const found = files.find((file) => file.filename === filename);
    if (found === undefined) throw new Error(`no ${filename} was published`);
    return found;
  }

  askedTwice(): readonly string[] {
    if (IS_CONTROL) return [];
    const paths = this.upstream.requests.filter(({ method }) => method === "GET").map(({ path }) => path);
    return paths.filter((path, i) => paths.indexOf(path) !== i);
  }

  async open(packages: readonly Package[]): Promise<void> {
    this.#data = mkdtempSync(join(tmpdir(), "larder-clients-"));
    this.#upstream = await startUpstream();
    this.#built = this.#upstream.publish(...packages);
    if (!IS_CONTROL) await this.#start({ PORT: "0" });
  }

  async restart(): Promise<void> {
    const { port } = new URL(this.base);
    await this.#larder?.end("SIGKILL");
    this.#linesSeen = 0;
    await this.#start({ PORT: port, ...NOTHING_IS_FRESH });
  }

  async close(): Promise<void> {
    await this.#larder?.end("SIGKILL");
    await this.#upstream?.close();
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** What larder answered with 5xx since this was last called. */
  takeTroubles(): readonly string[] {
    const lines = (this.#larder?.output() ?? "").split("\n").slice(0, -1);
    const fresh = lines.slice(this.#linesSeen);
    this.#linesSeen = lines.length;
    return fresh.filter((line) => /"status":5\d\d/.test(line));
  }

  async #start(env: Readonly<Record<string, string>>): Promise<void> {
    const { url } = this.upstream;
    this.#larder = await startProcess({
      LARDER_UPSTREAM: url,
      LARDER_FILES_UPSTREAM: url,
      LARDER_FILES: "larder",
      LARDER_TRUST_PROXY: "loopback", // the TLS front of those that have the registry's name in their code
      LARDER_DATA: this.#data,
      NO_PROXY: "*",
      ...env,
    });
  }
}
