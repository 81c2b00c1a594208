import { expect, it } from "vitest";
import { free } from "../../src/resources/free.ts";

it("gives the memory of a large Buffer back in a later turn, once, however often it is said", async () => {
  const large = Buffer.alloc(300_000, 1);
  const small = Buffer.alloc(1_000, 1);
  for (const bytes of [large, large, small]) free(bytes);
  expect(large.length).toBe(300_000);
  await expect.poll(() => large.length).toBe(0);
  expect(small.length).toBe(1_000);
});
