import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { freePort, Place, RelayProcess } from "../e2e/cli-world.ts";
import { workflow } from "./platform-schemas.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

it("the CI example gives the app under test a public URL that the next step reaches", async () => {
  await using relay = await RelayProcess.start(["--domain", "localhost", "--token", "ci-token"]);
  await using place = new Place({ GGROK_RELAY: relay.origin, GGROK_AUTHTOKEN: "ci-token", GITHUB_RUN_ID: "4711" });
  const { jobs } = workflow.parse(parse(readFileSync(join(ROOT, "deploy/agent/github-actions.yml"), "utf8")));
  const steps = jobs["public-url"]?.steps.flatMap((step) => ("run" in step ? [step.run] : [])) ?? [];
  const port = String(await freePort());
  // A runner has its checkout beside the app and port 3000 for itself.
  const [, tunnel = "", outside = ""] = steps.map((run) =>
    run.replaceAll("ggrok/node_modules/.bin/ggrok", join(ROOT, "node_modules/.bin/ggrok")).replaceAll("3000", port),
  );
  expect(tunnel).toContain("--wait");
  const variables = join(place.folder, "github-env");
  writeFileSync(variables, "");
  writeFileSync(join(place.cwd, "index.html"), "hello from the job");
  const env = { ...place.env, GITHUB_ENV: variables };
  // What a step leaves behind runs until the job ends: a group of its own, ended at the end.
  const job = spawn("bash", ["-e", "-o", "pipefail", "-c", tunnel], {
    cwd: place.cwd,
    env,
    detached: true,
    stdio: "ignore",
  });
  try {
    expect((await once(job, "exit"))[0]).toBe(0);
    const [, url = ""] = /^PUBLIC_URL=(.*)$/m.exec(readFileSync(variables, "utf8")) ?? [];
    expect(url).toBe(`http://ci-4711.localhost:${relay.port}`);
    const next = spawnSync("bash", ["-e", "-c", outside], { env: { ...env, PUBLIC_URL: url }, encoding: "utf8" });
    expect([next.status, next.stdout]).toEqual([0, "hello from the job"]);
  } finally {
    if (job.pid !== undefined) process.kill(-job.pid, "SIGTERM");
  }
});
