// Clocks that jump: libfaketime under both programs, the monotonic clock left alone, as in a suspend.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { closeVisitors, download, pace } from "../harness/visitors.ts";

afterAll(closeVisitors);

function findLibrary(): string {
  execFileSync("faketime", ["--version"]);
  for (const folder of readdirSync("/usr/lib")) {
    const path = join("/usr/lib", folder, "faketime", "libfaketimeMT.so.1");
    try {
      execFileSync("test", ["-e", path]);
      return path;
    } catch {
      // Another architecture's folder.
    }
  }
  throw new Error("libfaketime is not installed");
}

/** A clock for child processes that a file sets while they run. */
class FakeClock implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "ggrok-clock-"));
  readonly #file = join(this.#folder, "time");
  readonly env: Record<string, string>;

  constructor() {
    this.set("+0");
    this.env = {
      LD_PRELOAD: findLibrary(),
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
    };
  }

  set(offset: string): void {
    writeFileSync(this.#file, `${offset}\n`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe.each([
  ["the agent's", "agent"],
  ["the relay's", "relay"],
] as const)("%s clock", (_name, whose) => {
  it.each([
    ["an hour ahead", "+1h"],
    ["an hour back", "-1h"],
    ["ten minutes ahead, as after a suspend", "+10m"],
  ])("that jumps %s ends no transfer and loses no name", { timeout: 60_000 }, async (_jump, offset) => {
    using clock = new FakeClock();
    const before = { ...process.env };
    if (whose === "relay") Object.assign(process.env, clock.env);
    const starting = FaultWorld.start({ name: "clock", ...(whose === "agent" && { env: clock.env }) });
    // The agent is started last, with its own environment; the relay has read this one by then.
    await using world = await starting.finally(() => {
      process.env = before;
    });
    const tally = new Tally();
    const whole = download(world.door, "/down?bytes=15000000&pause=20");
    await pace(1_000);
    clock.set(offset);
    for (let i = 0; i < 40; i += 1) {
      tally.send(world.door, "c", i);
      await pace(100);
    }
    await tally.settled();
    expect(tally.counts, String(tally)).toEqual({ 200: 40 });
    expect(world.app.doubled).toEqual([]);
    expect(await whole).toEqual({ status: 200, bytes: 15_000_000, sha256: patternDigest(15_000_000) });
    expect(world.urls).toHaveLength(1);
    expect(world.relay.program.events("endpoint.released")).toEqual([]);
    expect(
      world.agent
        .events("session.online")
        .slice(1)
        .every((event) => event["resumed"] === true),
    ).toBe(true);
  });
});
