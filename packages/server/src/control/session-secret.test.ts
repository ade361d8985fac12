import { describe, expect, it } from "vitest";
import { makeSecret, SessionSecret } from "./session-secret.ts";

describe("SessionSecret", () => {
  it("takes the secret of the last welcome only", () => {
    const secret = new SessionSecret("first");
    expect([secret.accepts("first", 0), secret.accepts("firs", 0), secret.accepts("", 0)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it("takes the one before until a message arrived under the new one", () => {
    const secret = new SessionSecret("first");
    const second = secret.rotate("first", 7);
    expect([secret.accepts("first", 7), secret.accepts(second, 7)]).toEqual([true, true]);
    expect([secret.accepts("first", 8), secret.accepts(second, 8)]).toEqual([false, true]);
  });

  it("survives any number of lost welcomes, whichever of them arrived", () => {
    const secret = new SessionSecret("first");
    let held = "first";
    for (let round = 0; round < 50; round += 1) {
      expect(secret.accepts(held, 3)).toBe(true);
      const next = secret.rotate(held, 3);
      if (round % 3 === 0) held = next;
    }
  });

  it("makes 256 random bits", () => {
    expect(new Set(Array.from({ length: 100 }, makeSecret)).size).toBe(100);
    expect(Buffer.from(makeSecret(), "base64url")).toHaveLength(32);
  });
});
