import { afterAll, beforeAll, expect, it } from "vitest";
import { startLarder, type TestLarder } from "../support/larder.ts";
import { type FakeUpstream, startUpstream } from "../support/upstream.ts";
import { projectDocument } from "../support/upstream/documents.ts";

const FILES = "https://files.pythonhosted.org";

let upstream: FakeUpstream;
let larder: TestLarder;

// Larger than what is freed as soon as it has been used.
const LARGE = projectDocument({
  name: "large",
  serial: 3,
  releases: Array.from({ length: 1_000 }, (_, i) => ({ version: `1.${i}` })),
  description: "lorem ipsum ☕ ".repeat(100),
});

beforeAll(async () => {
  upstream = await startUpstream();
  for (const name of ["large", "seen"]) upstream.project(name, { serial: 3, body: LARGE });
  larder = await startLarder({ upstream, env: { LARDER_FILES: "larder", LARDER_FILES_UPSTREAM: FILES } });
});

afterAll(async () => {
  await larder.close();
  await upstream.close();
});

const rewritten = () => LARGE.toString().replaceAll(FILES, larder.url);

it("is made ready in all codings at once, and again, from a body that was decoded once", async () => {
  expect(LARGE.length).toBeGreaterThan(500_000);
  const codings = ["identity", "gzip", "zstd", "gzip"];
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(
      codings.map((coding) => larder.get("/pypi/large/json", { headers: { "accept-encoding": coding } })),
    );
    expect(answers.map(({ decoded }) => decoded.toString() === rewritten())).toEqual([
      true,
      true,
      true,
      true,
    ]);
  }
  expect(upstream.count("/pypi/large/json")).toBe(1);
});

it("is made ready in one coding after the other", async () => {
  for (const coding of ["zstd", "identity", "gzip"]) {
    const { decoded } = await larder.get("/pypi/seen/json", { headers: { "accept-encoding": coding } });
    expect(decoded.toString() === rewritten()).toBe(true);
  }
});
