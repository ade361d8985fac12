import { defineConfig } from "vitest/config";

// The workspace packages are tested from their sources: no build is needed first.
export const conditions = ["ggrok-source"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["ggrok-source"] } },
  test: {
    pool: "forks",
    // Most of the time of the whole-program tests is waiting: two files at a time on any machine, no more, since they time each other.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["packages/*/src/**/*.test.ts", "bench/*.test.ts"] },
      },
      {
        extends: true,
        test: { name: "whole", include: ["test/**/*.test.ts"] },
      },
    ],
  },
});
