import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    // Real sockets, real Redis: generous, so that only a hang fails a test, never a slow machine.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
    reporters: process.env["CI"] === "true" ? ["verbose"] : ["default"],
  },
});
