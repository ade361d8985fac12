import { ensurePrograms, TEST_PROGRAMS } from "./lib/programs.mjs";
import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";
import { runTests } from "./lib/vitest.mjs";

await main(async () => {
  await setup();
  await ensurePrograms(TEST_PROGRAMS);
  return runTests(["--config", "vitest.soak.config.ts", ...process.argv.slice(2)]);
});
