import { describe, expect, it } from "vitest";
import { parseControl } from "./control.ts";
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

  it("takes an account of every stream an agent may have, and not one more", () => {
    const hello = {
      type: "hello",
      role: "agent",
      software: "x",
      agentId: "a".repeat(22),
      instance: "i".repeat(22),
      attempt: 1,
      slot: 0,
      capabilities: [],
      window: 65_536,
      maxStreams: 16_384,
    };
    const account = (count: number): unknown => ({
      ...hello,
      previous: { session: "s", secret: "k".repeat(43), lastStream: 2, undispatched: new Array(count).fill(2) },
    });
    expect(parseControl(account(16_384))).toBeDefined();
    expect(() => parseControl(account(16_385))).toThrow(violation);
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
