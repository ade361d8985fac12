import { describe, expect, it } from "vitest";
import { bodyKind } from "./body-kind.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("bodyKind", () => {
  it.each([
    ["application/json", '{"a":1}', "json"],
    ["application/vnd.api+json; charset=utf-8", "[]", "json"],
    ["application/x-www-form-urlencoded", "a=1", "form"],
    ["multipart/form-data; boundary=x", "--x--", "multipart"],
    ["multipart/form-data", "no boundary", "text"],
    ["IMAGE/PNG", "whatever", "image"],
    ["image/svg+xml", "<svg/>", "image"],
    ["text/plain", "a", "text"],
    ["application/pdf", "%PDF \u0000", "binary"],
    ["application/x-unheard-of", "readable", "text"],
    [undefined, '  {"a":1}', "json"],
    [undefined, "{broken", "text"],
    [undefined, "\u0001\u0002", "binary"],
    ["application/json", "", "empty"],
  ])("sees in %s with %j: %s", (type, text, kind) => {
    expect(bodyKind(type, bytes(text)).kind).toBe(kind);
  });

  it.each([
    ["text/html", "html"],
    ["application/xml", "html"],
    ["text/css", "css"],
    ["application/javascript", "javascript"],
    ["application/x-ndjson", "json"],
    ["text/csv", "plain"],
  ])("colours %s as %s", (type, language) => {
    expect(bodyKind(type, bytes("x"))).toMatchObject({ kind: "text", language });
  });

  it("shows JSON that is broken as text in JSON's colours", () => {
    expect(bodyKind("application/json", bytes('{"a":'))).toEqual({ kind: "text", text: '{"a":', language: "json" });
  });

  it("knows images by their first bytes where nothing is declared", () => {
    const png = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0]);
    expect(bodyKind(undefined, png)).toEqual({ kind: "image", type: "image/png" });
    expect(bodyKind("application/octet-stream", Uint8Array.from([0xff, 0xd8, 0xff, 0]))).toMatchObject({
      type: "image/jpeg",
    });
  });

  it("reads text in its charset", () => {
    expect(bodyKind("text/plain; charset=iso-8859-1", Uint8Array.from([0xe4]))).toMatchObject({ text: "ä" });
    expect(bodyKind("text/plain; charset=no-such", bytes("ä"))).toMatchObject({ text: "ä" });
  });

  it("takes no torn character at the end of the sample for binary", () => {
    expect(bodyKind(undefined, bytes(`${"a".repeat(4_095)}ä and more`)).kind).toBe("text");
  });
});
