import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LogWriter } from "./log-writer.ts";

const MODULE = fileURLToPath(new URL("log-writer.ts", import.meta.url));

/** Runs a program that has a writer on its standard output. */
function run(body: string) {
  const program = `const { LogWriter } = await import(${JSON.stringify(MODULE)}); const log = new LogWriter(1); ${body}`;
  return spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["pipe", "pipe", "inherit"] });
}

describe("LogWriter", () => {
  it("writes every line in order, and says when it has", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-log-"));
    const fd = openSync(join(folder, "log"), "w");
    const writer = new LogWriter(fd);
    const lines = Array.from({ length: 1_000 }, (_, i) => `line ${i}\n`);
    for (const line of lines) writer.write(line);
    await new Promise<void>((resolve) => writer.flush(resolve));
    expect(readFileSync(join(folder, "log"), "utf8")).toBe(lines.join(""));
    writer.end("the last\n");
    await once(writer, "finish");
    await new Promise<void>((resolve) => writer.flush(resolve));
    expect(readFileSync(join(folder, "log"), "utf8")).toBe(`${lines.join("")}the last\n`);
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  it("has written what waits when the process exits", async () => {
    const child = run(
      `for (let i = 0; i < 5000; i += 1) log.write("line " + i + "\\n"); log.flush(() => { log.write("bye\\n"); process.exit(0); });`,
    );
    const text = Buffer.concat(await child.stdout.toArray()).toString();
    expect(text.split("\n").slice(-3)).toEqual(["line 4999", "bye", ""]);
  });

  it("lets the process end when nobody reads any more", async () => {
    const child = run(
      `process.stdin.once("end", () => { for (let i = 0; i < 100; i += 1) log.write("x".repeat(1000)); process.exit(7); }).resume();`,
    );
    child.stdout.destroy();
    await once(child.stdout, "close");
    child.stdin.end();
    expect(await once(child, "exit")).toEqual([7, null]);
  });

  it("drops lines above its limit while the reader stands still, and goes on behind them", async () => {
    const child = run(`
      for (let i = 0; i < 200; i += 1) log.write("x".repeat(100_000) + "\\n");
      process.stdin.once("data", () => log.flush(() => { log.write("later\\n"); log.flush(() => process.exit(0)); }));`);
    child.stdout.pause();
    child.stdin.write("go");
    const text = Buffer.concat(await child.stdout.toArray()).toString();
    expect(text.length).toBeGreaterThan(8_000_000);
    expect(text.length).toBeLessThan(9_000_000);
    expect(text.endsWith("x\nlater\n")).toBe(true);
    child.stdin.end();
  });
});
