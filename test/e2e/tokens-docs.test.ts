import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runScript, type ScriptResult, shellBlocks } from "../harness/doc-script.ts";
import { readSections, sectionRows } from "../harness/doc-tables.ts";
import { Place, RelayProcess } from "./cli-world.ts";

// The commands of two pages, one after the other, as they stand there but for the relay and the folder.
let folder: string;
let relay: RelayProcess;
let place: Place;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-docs-"));
  place = new Place({ RELAY_ADMIN_TOKEN: "root" });
  relay = await RelayProcess.start(["--domain", "localhost", "--data-dir", folder, "--admin-token", "root"]);
});
afterEach(async () => {
  await relay[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs all commands of a page, then some of the test's own. */
async function run(page: string, own: string): Promise<ScriptResult> {
  const replaced = { "https://relay.example.com": relay.origin, "/var/lib/ggrok": folder };
  const result = await runScript([...shellBlocks(page), own].join("\n"), place.env, replaced);
  expect(result.code, `${result.out}\n${result.err}`).toBe(0);
  return result;
}

interface Row {
  readonly name: string;
  readonly token?: string;
  readonly kinds: readonly string[];
  readonly ports: readonly unknown[];
}

describe("docs/tokens.md", () => {
  it("has commands that make, list and revoke, log in and reserve", { timeout: 60_000 }, async () => {
    const { out, err } = await run("tokens.md", "echo; ggrok-relay token list --json; ggrok-relay reserve --json");
    const [reservations = "", tokens = ""] = out.trimEnd().split("\n").reverse();
    const listed = JSON.parse(tokens) as Row[];
    expect(listed.map(({ name }) => name).sort()).toEqual(["alice", "carol", "database", "dave", "operations"]);
    expect(listed.find(({ name }) => name === "database")).toMatchObject({ kinds: ["tcp"], ports: [[20_000, 20_010]] });
    const reserved = JSON.parse(reservations) as Row[];
    expect(reserved.map(({ name, token }) => [name, token])).toEqual([["shop", "dave"]]);
    expect(out).toMatch(/^shop +dave +operator/mu);
    expect(out).toContain(`Logged in to ${relay.origin}`);
    expect((statSync(place.configPath).mode & 0o777).toString(8)).toBe("600");
    expect(err).toContain(`ggrok login ${relay.origin}/#ggrok_`);
  });

  it("names every flag of rights", async () => {
    const flags = sectionRows(await readSections("tokens.md"), "Rights").map((row) => row["flag"]);
    const { out } = await runScript("ggrok-relay token create --help", place.env, {});
    const known = [...out.matchAll(/^ +(--[a-z-]+)/gmu)].map(([, flag]) => flag);
    const others = ["--relay", "--admin-token", "--insecure", "--json", "--help"];
    expect(flags.sort()).toEqual(known.filter((flag = "") => !others.includes(flag)).sort());
  });
});

describe("docs/admin-api.md", () => {
  it("has commands that work", { timeout: 60_000 }, async () => {
    place.env["GGROK_ADMIN_TOKEN"] = "root";
    const { out } = await run("admin-api.md", "");
    expect(out).toContain('"openapi":"3.1.0"');
    expect(out).toContain('"secret":"ggrok_');
    expect(out).toContain('"tunnels":[]');
    expect(out).toMatch(/relay +ready, version /u);
  });

  it("has every operation of the description, and no other", async () => {
    const answer = await fetch(`${relay.origin}/$$ggrok/api/openapi.json`, {
      headers: { authorization: "Bearer root" },
    });
    const { paths } = (await answer.json()) as { paths: Record<string, Record<string, { operationId: string }>> };
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => [
        operationId,
        `${method.toUpperCase()} ${path.replace("/$$ggrok/api/v1", "")}`,
      ]),
    );
    const rows = sectionRows(await readSections("admin-api.md"), "Operations");
    expect(Object.fromEntries(rows.map((row) => [row["operation"], row["request"]]))).toEqual(
      Object.fromEntries(described),
    );
  });

  it("has the codes with their statuses", async () => {
    const errors = [...(await readSections("errors.md")).values()].flat();
    for (const { status, code } of sectionRows(await readSections("admin-api.md"), "When something is wrong"))
      expect([code, errors.find((row) => row["code"] === code)?.["status"]]).toEqual([code, status]);
  });
});
