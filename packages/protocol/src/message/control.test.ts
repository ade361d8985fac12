import { describe, expect, it } from "vitest";
import { LIMITS } from "../limits.ts";
import { decodeControl } from "../wire/decode.ts";
import { encodeControl } from "../wire/encode.ts";
import { type Hello, parseControl } from "./control.ts";
import { parseWireJson } from "./parse.ts";

const violation = expect.objectContaining({ code: "ERR_GGROK_PROTOCOL_VIOLATION" });
const bind = { type: "bind", bind: 1, kind: "http", ageMs: 0 };

describe("parseControl", () => {
  it("drops keys it does not know, also those that would change what an object is", () => {
    const parsed = parseControl(
      parseWireJson(Buffer.from('{"type":"unbind","bind":1,"__proto__":{"x":1},"constructor":2}')),
    );
    expect(parsed).toStrictEqual({ type: "unbind", bind: 1 });
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
    expect("x" in {}).toBe(false);
  });

  it("is silent about types it does not know, also about names of object members", () => {
    for (const type of ["later", "constructor", "toString", "__proto__", "hasOwnProperty", ""]) {
      expect(parseControl({ type })).toBeUndefined();
    }
  });

  it("does not take a type from anywhere but the message itself", () => {
    for (const value of [null, [], "hello", 1, true, {}, { type: null }, { type: ["hello"] }, [{ type: "hello" }]]) {
      expect(() => parseControl(value)).toThrow(violation);
    }
  });

  it("names the key that is wrong, not its value", () => {
    expect(() => parseControl({ ...bind, kind: "secret-value" })).toThrow(/bind: kind/);
    expect(() => parseControl({ ...bind, kind: "secret-value" })).toThrow(/^(?!.*secret-value)/s);
  });

  it("takes the largest account, which fits into one CONTROL, and not one stream more", () => {
    const account = (count: number): Hello => ({
      type: "hello",
      role: "agent",
      software: "ggrok/10.10.10 node/24.21.0 linux-x64",
      agentId: "a".repeat(43),
      instance: "i".repeat(43),
      attempt: 1_000_000,
      slot: 0,
      capabilities: ["resume"],
      window: 65_536,
      maxStreams: 16_384,
      label: "l".repeat(256),
      previous: {
        session: "s".repeat(43),
        secret: "k".repeat(43),
        lastStream: 2_147_483_646,
        undispatched: new Array<number>(count).fill(2_147_483_646),
      },
    });
    expect(decodeControl(encodeControl(account(LIMITS.UNDISPATCHED_MAX)))).toEqual(account(LIMITS.UNDISPATCHED_MAX));
    expect(() => parseControl(account(LIMITS.UNDISPATCHED_MAX + 1))).toThrow(violation);
  });

  it("lets unknown capabilities through for the handshake to ignore", () => {
    const welcome = {
      type: "welcome",
      session: "s",
      secret: "k".repeat(43),
      relayId: "r",
      version: "1.9",
      capabilities: ["resume", "teleport"],
      window: 65_536,
      maxStreams: 0,
      heartbeat: { intervalMs: 5_000, timeoutMs: 12_500, jitterMs: 5 },
      holdMs: 1,
      resumed: false,
      received: 0,
      slots: 1,
    };
    expect(parseControl(welcome)).toMatchObject({ capabilities: ["resume", "teleport"] });
  });
});

describe("deep JSON", () => {
  it("is refused as malformed when nothing closes it", () => {
    for (const bracket of ["[", '{"a":', '[{"a":']) {
      expect(() => parseWireJson(Buffer.from(bracket.repeat(131_072 / bracket.length)))).toThrow(violation);
    }
  });

  it("costs nothing but its bytes when it is well-formed", () => {
    const depth = 8_000;
    const options = `${'{"a":'.repeat(depth / 4)}1${"}".repeat(depth / 4)}`;
    expect(
      parseControl(parseWireJson(Buffer.from(`{"type":"bind","bind":1,"kind":"http","ageMs":0,"options":${options}}`))),
    ).toMatchObject(bind);
    const list = `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(() => parseControl(parseWireJson(Buffer.from(`{"type":"bind","options":${list}}`)))).toThrow(violation);
    expect(parseControl(parseWireJson(Buffer.from(`{"type":"later","x":${list}}`)))).toBeUndefined();
  });
});

describe("encodeControl", () => {
  it("refuses a message that the peer would have to refuse", () => {
    const fits = "x".repeat(LIMITS.CONTROL_BYTES_MAX - 100);
    expect(encodeControl({ type: "bind", bind: 1, kind: "http", ageMs: 0, url: fits }).length).toBeGreaterThan(0);
    const tooLong = { type: "bind", bind: 1, kind: "http", ageMs: 0, url: `${fits}${"x".repeat(100)}` } as const;
    expect(() => encodeControl(tooLong)).toThrow(expect.objectContaining({ code: "ERR_GGROK_CONFIG_INVALID" }));
  });
});
