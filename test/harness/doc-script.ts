import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAMS = {
  ggrok: fileURLToPath(new URL("../../packages/client/src/bin.ts", import.meta.url)),
  "ggrok-relay": fileURLToPath(new URL("../../packages/server/src/bin.ts", import.meta.url)),
};

/** What a page's commands ended with. */
export interface ScriptResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The commands in all `sh` blocks of a page of `docs/`, in their order. */
export function shellBlocks(page: string): string[] {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), "utf8");
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
}

/**
 * Runs lines of shell with `ggrok` and `ggrok-relay` in the path; the first that fails ends them.
 *
 * @param replaced words of the page and what they are in this test
 */
export async function runScript(
  script: string,
  env: NodeJS.ProcessEnv,
  replaced: Readonly<Record<string, string>>,
): Promise<ScriptResult> {
  const folder = mkdtempSync(join(tmpdir(), "ggrok-script-"));
  for (const [name, bin] of Object.entries(PROGRAMS)) {
    const path = join(folder, name);
    const node = `"${process.execPath}" --conditions=ggrok-source --disable-warning=ExperimentalWarning`;
    writeFileSync(path, `#!/bin/sh\nexec ${node} "${bin}" "$@"\n`);
    chmodSync(path, 0o700);
  }
  const text = Object.entries(replaced).reduce((lines, [from, to]) => lines.replaceAll(from, to), script);
  const child = spawn("bash", ["-euo", "pipefail", "-c", text], {
    cwd: folder,
    env: { ...env, PATH: `${folder}${delimiter}${String(process.env["PATH"])}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  rmSync(folder, { recursive: true, force: true });
  return { code, out, err };
}
