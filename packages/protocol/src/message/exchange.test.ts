import { describe, expect, it } from "vitest";
import { LIMITS } from "../limits.ts";
import { openTuple, parseOpenTuple, parseResponseTuple } from "./exchange.ts";
import { parseWireJson } from "./parse.ts";

const request = ["http", 1, "r1", "GET", "/", "1.1", ["Host", "a"]];
const headInvalid = expect.objectContaining({ code: "ERR_GGROK_HEAD_INVALID" });
const violation = expect.objectContaining({ code: "ERR_GGROK_PROTOCOL_VIOLATION" });

describe("parseOpenTuple", () => {
  it("ends the stream for bad content and the session for a wrong shape", () => {
    expect(() => parseOpenTuple(request.with(4, "/a b"))).toThrow(headInvalid);
    expect(() => parseOpenTuple(request.with(4, 5))).toThrow(violation);
  });

  it("takes the longest target, and not one byte more", () => {
    const longest = `/${"a".repeat(LIMITS.TARGET_BYTES_MAX - 1)}`;
    expect(parseOpenTuple(request.with(4, longest))).toMatchObject({ target: longest });
    expect(() => parseOpenTuple(request.with(4, `${longest}a`))).toThrow(
      "the target has 16385 bytes, 16384 are allowed",
    );
  });

  it("takes every form of target", () => {
    for (const target of ["/", "*", "/a?b=c#d", "http://a/b", "a.test:443", "/%00", "//double", "/\u00ff"]) {
      expect(parseOpenTuple(request.with(4, target))).toMatchObject({ target });
    }
  });

  it("keeps field names that are members of every object as plain text", () => {
    const fields = ["__proto__", "1", "constructor", "2", "toString", "3"];
    const head = parseOpenTuple(parseWireJson(Buffer.from(JSON.stringify(request.with(6, fields)))));
    expect(head).toMatchObject({ fields });
  });

  it("keeps unknown keys of meta and lets none of them change the object", () => {
    const head = parseOpenTuple(
      parseWireJson(Buffer.from('["tcp",1,"r1",{"client":"::1","hops":1,"__proto__":{"admin":true}}]')),
    );
    expect(head.meta).toMatchObject({ client: "::1", hops: 1 });
    expect(head.meta?.["admin"]).toBeUndefined();
    expect(Object.getPrototypeOf(head.meta)).toBe(Object.prototype);
  });

  it("takes meta that is nested as deep as a frame allows", () => {
    const depth = 60_000;
    const json = `["tcp",1,"r1",{"x":${"[".repeat(depth)}${"]".repeat(depth)}}]`;
    expect(parseOpenTuple(parseWireJson(Buffer.from(json)))).toMatchObject({ kind: "tcp", requestId: "r1" });
  });

  it("writes the tuple it reads", () => {
    for (const tuple of [
      request,
      [...request, { client: "::1" }],
      ["tcp", "db", "r1"],
      ["tcp", 3, "r1", { hops: 1 }],
    ]) {
      expect(openTuple(parseOpenTuple(tuple))).toEqual(tuple);
    }
  });
});

describe("parseResponseTuple", () => {
  it("takes every status of three digits", () => {
    for (const status of [100, 101, 103, 200, 204, 304, 599, 999]) {
      expect(parseResponseTuple([status, "", []])).toEqual({ status, reason: "", fields: [] });
    }
    for (const status of [0, 99, 1_000, -200, 200.5, Number.NaN]) {
      expect(() => parseResponseTuple([status, "", []])).toThrow(violation);
    }
  });
});
