import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  console.log('\nReady. "npm start" opens a tunnel to a demo app, "npm test" runs every test.');
  return 0;
});
