import { describe, expect, it } from "vitest";
import { Secret } from "../observability/secret.ts";
import { becomeOwner } from "./data-dir.ts";
import { table } from "./print.ts";
import { parseRelayOrigin, RemoteOperator } from "./remote.ts";

describe("root on another user's directory", () => {
  function identity(uid: number): { steps: string[]; who: Parameters<typeof becomeOwner>[1] } {
    const steps: string[] = [];
    const who = {
      getuid: () => uid,
      setgid: (id: number) => void steps.push(`gid ${String(id)}`),
      setuid: (id: number) => void steps.push(`uid ${String(id)}`),
    };
    return { steps, who };
  }

  it("becomes that user, group first, so that the relay can use what it makes", () => {
    const { steps, who } = identity(0);
    becomeOwner({ uid: 61_184, gid: 61_185 }, who);
    expect(steps).toEqual(["gid 61185", "uid 61184"]);
  });
  it.each([
    ["its own directory", 0, { uid: 0, gid: 0 }],
    ["a directory that is not there yet", 0, undefined],
  ])("stays itself on %s", (_, uid, owner) => {
    const { steps, who } = identity(uid);
    becomeOwner(owner, who);
    expect(steps).toEqual([]);
  });
  it("is the only one who changes", () => {
    const { steps, who } = identity(1_000);
    becomeOwner({ uid: 61_184, gid: 61_184 }, who);
    expect(steps).toEqual([]);
  });
});

describe("where a relay is", () => {
  it.each([
    ["relay.example.com", "https://relay.example.com"],
    ["https://relay.example.com:8443/", "https://relay.example.com:8443"],
    ["http://localhost:8080", "http://localhost:8080"],
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
    ["http://[::1]:8080", "http://[::1]:8080"],
  ])("%s", (text, origin) => {
    expect(parseRelayOrigin(text, false)).toBe(origin);
  });
  it.each(["http://relay.example.com", "http://127.0.0.1.example.com"])(
    "refuses %s, which would show the admin token to everybody on the way, unless told to",
    (text) => {
      expect(() => parseRelayOrigin(text, false)).toThrow("in the clear");
      expect(parseRelayOrigin(text, true)).toBe(text);
    },
  );
  it.each(["https://a/b", "https://a/?b", "https://a/#b", "https://user@a", "a b", ""])("refuses %s", (text) => {
    expect(() => parseRelayOrigin(text, false)).toThrow("is not a relay");
  });
});

describe("a relay that cannot be asked", () => {
  it("is named", async () => {
    const relay = new RemoteOperator("http://127.0.0.1:9", new Secret("root"));
    await expect(relay.listTokens()).rejects.toThrow("http://127.0.0.1:9 cannot be reached");
  });
  it("is not asked without a token", async () => {
    await expect(new RemoteOperator("http://127.0.0.1:9", undefined).listTokens()).rejects.toMatchObject({
      exitCode: 3,
    });
  });
});

describe("tables", () => {
  it("are as wide as they must be and do not drive a terminal", () => {
    expect(table(["A", "LONG"], [["\u001b[2J", "x"]])).toBe("A          LONG\n\\u001b[2J  x\n");
  });
});
