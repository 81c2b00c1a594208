import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Bucket } from "../../src/s3/bucket.ts";
import { parseS3Url } from "../../src/s3/target.ts";
import { TestClock } from "../support/clock.ts";

const KEY = { path: `/packages/ab/cd/${"e".repeat(60)}/demo.whl`, blake2b256: `abcd${"e".repeat(60)}` };

beforeEach(() => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "test");
});
afterEach(() => vi.unstubAllEnvs());

it("leaves a bucket in trouble alone for its time, and no longer though the clock is set back", async () => {
  const clock = new TestClock();
  let troubles = 0;
  const bucket = new Bucket({
    // Port 1 of the loopback: nobody listens there.
    target: parseS3Url("s3://files?endpoint=http://127.0.0.1:1"),
    clock,
    onSurvived: () => (troubles += 1),
  });
  const ask = async (): Promise<number> => {
    expect(await bucket.head(KEY)).toBeUndefined();
    return troubles;
  };
  expect(await ask()).toBe(1);
  expect(await ask()).toBe(1);
  clock.advance(-86_400_000);
  expect(await ask()).toBe(2);
  await bucket.close();
});
