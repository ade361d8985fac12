import { describe, expect, it } from "vitest";
import {
  ERRORS,
  type ErrorCode,
  type ErrorRow,
  errorCodeOfReset,
  GgrokError,
  isResetCode,
  ResetCode,
} from "./errors.ts";

const rows = Object.entries(ERRORS) as [ErrorCode, ErrorRow][];

describe("the error table", () => {
  it.each(rows)("has a usable row for %s", (code, row) => {
    expect(code).toMatch(/^ERR_GGROK_[A-Z]+(_[A-Z]+)*$/);
    expect(row.status).toBeGreaterThanOrEqual(400);
    expect(row.status).toBeLessThan(600);
    expect(row.message).toMatch(/^[A-Z].*\.$/s);
    expect(row.nextStep).toMatch(/^[A-Z].*\.$/s);
    if (row.exitCode !== undefined) expect([1, 2, 3, 4, 5, 6, 7, 8]).toContain(row.exitCode);
  });

  it("has close codes a WebSocket may carry, each for one failure", () => {
    const codes = rows.flatMap(([, row]) => (row.closeCode === undefined ? [] : [row.closeCode]));
    for (const code of codes)
      expect([1_001, 1_002, 1_003, 1_011].includes(code) || (code >= 4_000 && code <= 4_999)).toBe(true);
    expect(new Set(codes).size).toBe(codes.length);
  });
});

describe("RESET codes", () => {
  it("are the wire's numbers and each a row of the table", () => {
    expect(Object.values(ResetCode)).toEqual(Array.from({ length: 19 }, (_, number) => number));
    for (const code of Object.values(ResetCode)) expect(ERRORS).toHaveProperty(errorCodeOfReset(code));
  });

  it("are told from other numbers", () => {
    for (const number of [-1, 19, 0.5, 65_535, Number.NaN]) expect(isResetCode(number)).toBe(false);
    for (const number of Object.values(ResetCode)) expect(isResetCode(number)).toBe(true);
  });
});

describe("GgrokError", () => {
  it("says what its row says, unless it knows better, and keeps its cause", () => {
    const cause = new Error("ECONNREFUSED");
    const plain = new GgrokError("ERR_GGROK_UPSTREAM_REFUSED", { cause, detail: { port: 1 } });
    const row = ERRORS.ERR_GGROK_UPSTREAM_REFUSED;
    expect(plain).toMatchObject({ code: "ERR_GGROK_UPSTREAM_REFUSED", ...row, cause, detail: { port: 1 } });
    expect(new GgrokError("ERR_GGROK_FLOOD", { message: "10,001 frames" }).message).toBe("10,001 frames");
    expect("cause" in new GgrokError("ERR_GGROK_FLOOD")).toBe(false);
  });

  it("has a close code and an exit code for every row", () => {
    const error = new GgrokError("ERR_GGROK_VISITOR_LEFT");
    expect([error.closeCode, error.exitCode]).toEqual([4_500, 1]);
    const taken = new GgrokError("ERR_GGROK_NAME_TAKEN");
    expect([taken.exitCode, taken.retryable, taken.status]).toEqual([5, false, 409]);
  });
});
