import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../limits.ts";
import { getField, getFields, isFieldValue, isTarget, isToken, removeHopByHop, validateFields } from "./headers.ts";

const headInvalid = expect.objectContaining({ code: "ERR_GGROK_HEAD_INVALID" });

/** What RFC 9110 and 9112 allow, character by character: the patterns must say the same. */
const TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const isValueCode = (code: number): boolean => code === 9 || (code >= 32 && code !== 127 && code <= 255);
const isTargetCode = (code: number): boolean => code > 32 && code !== 127 && code <= 255;

describe("characters", () => {
  it("are allowed one by one as the RFCs say, for all of U+0000 to U+02FF", () => {
    for (let code = 0; code < 0x300; code += 1) {
      const character = String.fromCharCode(code);
      for (const text of [character, `a${character}`, `${character}a`]) {
        expect(isToken(text), `token U+${code.toString(16)}`).toBe(TOKEN_CHARACTERS.includes(character));
        expect(isFieldValue(text), `value U+${code.toString(16)}`).toBe(isValueCode(code));
        expect(isTarget(text), `target U+${code.toString(16)}`).toBe(isTargetCode(code));
      }
    }
  });

  it("above U+00FF are refused wherever they stand", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", minLength: 1 }).filter((text) => /[^\0-\xff]/.test(text)),
        (text) => {
          expect(isToken(text) || isFieldValue(text) || isTarget(text)).toBe(false);
        },
      ),
    );
  });

  it("of an empty text make no token and no target, but a value", () => {
    expect([isToken(""), isTarget(""), isFieldValue("")]).toEqual([false, false, true]);
  });
});

describe("validateFields", () => {
  it("takes as many fields as are allowed, and not one more", () => {
    const full = Array.from({ length: LIMITS.FIELDS_MAX }, () => ["a", "b"]).flat();
    expect(() => validateFields(full)).not.toThrow();
    expect(() => validateFields([...full, "a", "b"])).toThrow(headInvalid);
    expect(() => validateFields([...full, "a", "b"])).toThrow("1001 fields, 1000 are allowed");
  });

  it("takes names that are members of every object", () => {
    expect(() =>
      validateFields(["__proto__", "1", "constructor", "2", "toString", "3", "hasOwnProperty", ""]),
    ).not.toThrow();
  });

  it("refuses an odd count, bad names and bad values", () => {
    for (const fields of [
      ["a"],
      ["a", "b", "c"],
      ["", "b"],
      ["a b", "c"],
      ["a", "b\r\nc: d"],
      ["a\n", "b"],
      ["a", "\u0100"],
    ]) {
      expect(() => validateFields(fields)).toThrow(headInvalid);
    }
  });

  it("does not repeat a bad value in its message", () => {
    expect(() => validateFields(["authorization", "secret\n"])).toThrow(/^(?!.*secret)/s);
  });
});

describe("getField and getFields", () => {
  const fields = ["Set-Cookie", "a", "X", "b", "set-cookie", "c", "__proto__", "d"];
  it("find by name in any case, in order", () => {
    expect(getField(fields, "set-cookie")).toBe("a");
    expect(getFields(fields, "set-cookie")).toEqual(["a", "c"]);
    expect(getField(fields, "__proto__")).toBe("d");
  });

  it("find nothing that is not there, values included", () => {
    expect(getField(fields, "b")).toBeUndefined();
    expect(getField(fields, "constructor")).toBeUndefined();
    expect(getFields(fields, "y")).toEqual([]);
    expect(getField([], "x")).toBeUndefined();
  });
});

describe("removeHopByHop", () => {
  it("removes what belongs to one hop and keeps the rest as it stood", () => {
    const fields = [
      "Host",
      "a",
      "Connection",
      "keep-alive, X-Mine",
      "Keep-Alive",
      "timeout=5",
      "x-mine",
      "1",
      "Accept",
      "b",
      "Proxy-Authorization",
      "Basic x",
      "TE",
      "gzip",
      "Transfer-Encoding",
      "chunked",
      "Upgrade",
      "h2c",
      "accept",
      "c",
    ];
    expect(removeHopByHop(fields)).toEqual(["Host", "a", "Accept", "b", "accept", "c"]);
  });

  it("keeps fields that frame or route the message, whatever Connection names", () => {
    const fields = ["Connection", "content-length, host, x", "Content-Length", "3", "Host", "a", "X", "1"];
    expect(removeHopByHop(fields)).toEqual(["Content-Length", "3", "Host", "a"]);
  });

  it("keeps an upgrade when asked, with Connection reduced to it", () => {
    const fields = ["Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13"];
    expect(removeHopByHop(fields, { keepUpgrade: true })).toEqual([
      "Connection",
      "Upgrade",
      "Upgrade",
      "websocket",
      "Sec-WebSocket-Version",
      "13",
    ]);
    expect(removeHopByHop(fields)).toEqual(["Sec-WebSocket-Version", "13"]);
  });

  it("keeps TE: trailers when asked, and nothing else of TE", () => {
    expect(removeHopByHop(["TE", "gzip;q=0.5, trailers", "A", "b"], { keepTrailers: true })).toEqual([
      "TE",
      "trailers",
      "A",
      "b",
    ]);
    expect(removeHopByHop(["TE", "gzip", "A", "b"], { keepTrailers: true })).toEqual(["A", "b"]);
  });

  it("returns a new list and is done after one pass", () => {
    const field = fc.tuple(
      fc.constantFrom("Connection", "connection", "Upgrade", "X-A", "x-b", "TE", "Host", "Content-Length"),
      fc.constantFrom("x-a", "X-B, close", "upgrade", "trailers", "1", ",,"),
    );
    fc.assert(
      fc.property(fc.array(field), (pairs) => {
        const fields = pairs.flat();
        const copy = [...fields];
        const once = removeHopByHop(fields);
        expect(fields).toEqual(copy);
        expect(once).not.toBe(fields);
        expect(removeHopByHop(once)).toEqual(once);
      }),
    );
  });
});
