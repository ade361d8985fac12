import { scryptSync } from "node:crypto";
import { expect, it, vi } from "vitest";
import { Login, type LoginResult } from "./login.ts";

// A thousand hashes would take seconds.
vi.mock(import("../limits.ts"), async (original) => {
  const { RELAY_LIMITS } = await original();
  return { RELAY_LIMITS: { ...RELAY_LIMITS, knownLogins: 3 } as unknown as typeof RELAY_LIMITS };
});

it("remembers so many passwords and no more, the one seen first is forgotten", () => {
  const salt = Buffer.alloc(16, 7);
  const hash = scryptSync("ada:s3cret", salt, 32, { N: 2_048, r: 8, p: 1 });
  const login = new Login({ salt, hashes: [hash] });
  const check = (credentials: string, client: string, nowMs: number): LoginResult =>
    login.check(`Basic ${Buffer.from(credentials).toString("base64")}`, client, nowMs);
  expect(check("ada:s3cret", "192.0.2.1", 0)).toBe("good");
  // Ten wrong ones, so that only what is remembered is answered at once.
  const wrong = Array.from({ length: 10 }, (_, i) => `ada:${String(i)}`);
  for (const credentials of wrong.slice(0, 2)) expect(check(credentials, "192.0.2.1", 0)).toBe("bad");
  expect(check("ada:s3cret", "192.0.2.1", 0)).toBe("good");
  for (const credentials of wrong.slice(2)) expect(check(credentials, "192.0.2.1", 0)).toBe("bad");
  expect(check("ada:s3cret", "192.0.2.1", 0)).toEqual({ waitMs: 6_000 });
  expect(check("ada:9", "192.0.2.1", 0)).toBe("bad");
  expect(check("ada:0", "192.0.2.1", 0)).toEqual({ waitMs: 6_000 });
});
