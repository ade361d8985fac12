import { readFile } from "node:fs/promises";
import { ERRORS, type ErrorRow, errorCodeOfReset, FrameType, LIMITS, ResetCode } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { FORWARD_LIMITS } from "../packages/client/src/forward/limits.ts";
import { INSPECTOR_LIMITS } from "../packages/client/src/inspector/limits.ts";
import { PROXY_LIMITS } from "../packages/client/src/proxy/limits.ts";
import { NEXT_DIRECTION_STATE } from "../packages/protocol/src/mux/stream-state.ts";
import { RELAY_LIMITS } from "../packages/server/src/limits.ts";
import { type DocRow, numberOf, readSections, sectionRows } from "./harness/doc-tables.ts";

const PREFIX = "ERR_GGROK_";
const errorRows = Object.entries(ERRORS) as [string, ErrorRow][];

describe("docs/limits.md", async () => {
  const sections = await readSections("limits.md");
  const code: Readonly<Record<string, Readonly<Record<string, number>>>> = {
    "On the wire": LIMITS,
    Relay: RELAY_LIMITS,
    "Agent and app": FORWARD_LIMITS,
    "Forward proxy": PROXY_LIMITS,
    Inspector: INSPECTOR_LIMITS,
  };

  it.each(Object.keys(code))("has every limit of its section, with the value of the code: %s", (section) => {
    const documented = sectionRows(sections, section).map(({ name, value }) => [name, numberOf(value)] as const);
    expect(new Set(documented.map(([name]) => name)).size).toBe(documented.length);
    expect(Object.fromEntries(documented)).toEqual(code[section]);
  });

  it("has the values that stand in other files as they stand there", async () => {
    const rows = sectionRows(sections, "Kept where they are used");
    expect(rows.length).toBeGreaterThan(20);
    for (const { name, value, "in packages/": file } of rows) {
      const source = await readFile(new URL(`../packages/${file}`, import.meta.url), "utf8");
      const literal = new RegExp(`^(?:export )?const ${name} = (?<power>2 \\*\\* 31 - 1|[\\d_]+);`, "m").exec(source);
      const written = literal?.groups?.["power"] ?? "";
      expect(written.startsWith("2 **") ? 2 ** 31 - 1 : Number(written.replaceAll("_", "")), name).toBe(
        numberOf(value),
      );
    }
  });

  it("has a unit and a reason for each", () => {
    const rows = [...sections.values()].flat();
    expect(rows.filter((row) => row["unit"] === "" || row["reason"] === "")).toEqual([]);
  });
});

describe("docs/errors.md", async () => {
  const rows = [...(await readSections("errors.md")).values()].flat();

  it("has every row of the table as the code has it, and no other", () => {
    const documented = rows.map((row) => ({ ...row, code: PREFIX + row["code"] }));
    const expected = errorRows.map(([code, row]) => ({
      code,
      status: String(row.status),
      close: String(row.closeCode ?? ""),
      exit: String(row.exitCode ?? ""),
      again: row.retryable ? "yes" : "no",
      "what happened": row.message.replaceAll("`", ""),
      "what to do": row.nextStep.replaceAll("`", ""),
    }));
    expect(byCode(documented)).toEqual(byCode(expected));
  });
});

describe("docs/protocol.md", async () => {
  const sections = await readSections("protocol.md");
  const text = await readFile(new URL("../docs/protocol.md", import.meta.url), "utf8");

  it("has every frame type with its number", () => {
    // PONG, as every type, has a row of its own.
    const documented = sectionRows(sections, "3. Frames").filter((row) => row["payload"] !== undefined);
    const expected = Object.entries(FrameType).map(([name, type]) => [name.toUpperCase(), String(type)]);
    expect(documented.map((row) => [row["name"], row["type"]])).toEqual(expected);
  });

  it("has every RESET code with its number and the failure it stands for", () => {
    const documented = sectionRows(sections, "3. Frames").filter((row) => row["failure"] !== undefined);
    const expected = Object.entries(ResetCode).map(([name, code]) => [
      String(code),
      name.replace(/(?<=[a-z])(?=[A-Z])/g, "-").toLowerCase(),
      errorCodeOfReset(code),
    ]);
    expect(documented.map((row) => [row["code"], row["name"], PREFIX + row["failure"]])).toEqual(expected);
  });

  it("has the state table of a direction", () => {
    const events = { "1xx HEAD": "informational", "final HEAD": "head", DATA: "data", "FIN or TRAILERS": "end" };
    const documented = sectionRows(sections, "6. Streams").map((row) => [
      row["state"],
      Object.fromEntries(
        Object.entries(events).map(([column, event]) => [event, row[column]?.replace("violation", "invalid")]),
      ),
    ]);
    expect(Object.fromEntries(documented)).toEqual(NEXT_DIRECTION_STATE);
  });

  it("has every close code", () => {
    const documented = sectionRows(sections, "13. Close codes").flatMap((row) => {
      const code = /^[A-Z_]+/.exec(row["failure"] ?? "")?.[0];
      return code === undefined || code.length < 2 ? [] : [[PREFIX + code, Number(row["close code"])]];
    });
    const expected = errorRows.flatMap(([code, row]) => (row.closeCode === undefined ? [] : [[code, row.closeCode]]));
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(expected));
  });

  it("speaks of no limit and no failure that does not exist", () => {
    const frames = Object.keys(FrameType).map((name) => name.toUpperCase());
    const names = [...text.matchAll(/`([A-Z][A-Z_]{3,})`/g)].map((match) => match[1] ?? "");
    expect(names.length).toBeGreaterThan(50);
    const known = [
      ...Object.keys(LIMITS),
      ...errorRows.map(([code]) => code.slice(PREFIX.length)),
      ...frames,
      "CAPITALS",
    ];
    expect([...new Set(names)].filter((name) => !known.includes(name))).toEqual([]);
  });
});

function byCode(rows: readonly DocRow[]): Record<string, DocRow> {
  expect(new Set(rows.map((row) => row["code"])).size).toBe(rows.length);
  return Object.fromEntries(rows.map((row) => [row["code"], row]));
}
