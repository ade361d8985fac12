import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SqliteStore } from "../../packages/server/src/store/sqlite.ts";
import { within } from "../harness/deadline.ts";

const WRITER = fileURLToPath(new URL("./store-writer.ts", import.meta.url));
const ROUNDS = 8;

let folder: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-crash-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

/** Runs a writer until it has acknowledged so many writes, then kills it in the middle of whatever it does next. */
async function writeUntilKilled(writer: string, afterLines: number): Promise<string[]> {
  const args = ["--conditions=ggrok-source", "--disable-warning=ExperimentalWarning", WRITER, folder, writer];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error("both are pipes");
  let text = "";
  let errors = "";
  stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    if (text.split("\n").length > afterLines) child.kill("SIGKILL");
  });
  await within(`writer ${writer} to be killed`, once(child, "close"), 30_000);
  expect([child.signalCode, errors]).toEqual(["SIGKILL", ""]);
  // A line that is cut was not acknowledged.
  return text.split("\n").slice(0, -1);
}

it("loses no acknowledged token or reservation, whenever its writers are killed, and has no place twice", async () => {
  const counts = fc.sample(fc.integer({ min: 1, max: 120 }), { numRuns: ROUNDS * 2, seed: Date.now() % 2 ** 31 });
  const tokens = new Set<string>();
  const owners = new Map<string, string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const pair = [counts[round * 2] ?? 1, counts[round * 2 + 1] ?? 1];
    const lines = await Promise.all(pair.map((count, index) => writeUntilKilled(`w${String(index)}`, count)));
    for (const line of lines.flat()) {
      const [what = "", key = "", owner = ""] = line.split(" ");
      if (what === "token") tokens.add(key);
      else {
        const before = owners.get(key) ?? owner;
        expect([key, owner]).toEqual([key, before]);
        owners.set(key, owner);
      }
    }
    const store = new SqliteStore(folder);
    const kept = new Set(store.tokens().map(({ id }) => id));
    expect([...tokens].filter((id) => !kept.has(id))).toEqual([]);
    const wrong = [...owners].filter(([place, owner]) => store.reservation(place, Date.now())?.owner !== owner);
    expect(wrong).toEqual([]);
    store.close();
  }
  expect(tokens.size).toBeGreaterThan(ROUNDS);
});
