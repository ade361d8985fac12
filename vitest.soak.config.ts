import { defineConfig } from "vitest/config";
import { conditions } from "./vitest.config.ts";

// The long forms, one after the other: each has the machine to itself, so that memory and times mean something.
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["ggrok-source"] } },
  test: {
    pool: "forks",
    env: { GGROK_TEST_PROGRAMS: "built" },
    fileParallelism: false,
    include: ["test/soak/**/*.soak.ts"],
    testTimeout: 30 * 60_000,
    hookTimeout: 120_000,
  },
});
