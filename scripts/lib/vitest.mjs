import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { node, tool } from "./run.mjs";

/**
 * Runs vitest and ends with `N passed, N failed` alone on a line. A file that does not load counts as a failure, and
 * so does a skipped test: nothing is left out silently.
 */
export async function runTests(args) {
  const folder = await mkdtemp(join(tmpdir(), "ggrok-test-"));
  const report = join(folder, "report.json");
  try {
    const { code } = await node([
      tool.vitest,
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
      ...args,
    ]);
    const { passed, failed, skipped } = await readFile(report, "utf8").then(
      (text) => count(JSON.parse(text)),
      () => ({ passed: 0, failed: 1, skipped: 0 }),
    );
    if (skipped > 0) console.log(`\n${skipped} skipped: a test is run or removed, never skipped.`);
    const broken = failed + skipped === 0 && (code !== 0 || passed === 0);
    if (broken) console.log(`\nvitest ended with exit code ${code}, though no single test failed.`);
    const allFailed = failed + skipped + (broken ? 1 : 0);
    console.log(`\n${passed} passed, ${allFailed} failed`);
    return allFailed === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function count(report) {
  let [passed, failed, skipped] = [0, 0, 0];
  for (const file of report.testResults) {
    const states = file.assertionResults.map((result) => result.status);
    passed += states.filter((state) => state === "passed").length;
    failed += states.filter((state) => state === "failed").length;
    skipped += states.filter((state) => state !== "passed" && state !== "failed").length;
    if (file.status === "failed" && !states.includes("failed")) failed += 1;
  }
  return { passed, failed, skipped };
}
