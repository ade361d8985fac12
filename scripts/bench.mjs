// node scripts/bench.mjs run|check [arguments of bench/run.ts or bench/check.ts]
import { main, node, SetupError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  const [what, ...args] = process.argv.slice(2);
  if (what !== "run" && what !== "check") throw new SetupError("Usage: node scripts/bench.mjs run|check");
  await setup();
  const { code } = await node([`bench/${what}.ts`, ...args]);
  return code;
});
