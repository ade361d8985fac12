import { describe, expect, it } from "vitest";
import { connectionOptions, FieldKind, fieldKind, isPlainConnection } from "./field-kind.ts";

describe("fieldKind", () => {
  it.each([
    ["Host", FieldKind.Host],
    ["CONTENT-LENGTH", FieldKind.ContentLength],
    ["X-Forwarded-For", FieldKind.ForwardedFor],
    ["x-forwarded-prefix", FieldKind.Vouched],
    ["X-Real-IP", FieldKind.Vouched],
    ["X_Forwarded_For", FieldKind.LookAlike],
    ["x.forwarded-FOR", FieldKind.LookAlike],
    ["X_Real_IP", FieldKind.LookAlike],
    ["x_request_id", FieldKind.LookAlike],
    ["Content_Length", FieldKind.LookAlike],
    ["transfer.encoding", FieldKind.LookAlike],
    ["Proxy-Connection", FieldKind.HopByHop],
    ["X_Custom.Field", FieldKind.Plain],
    ["__proto__", FieldKind.Plain],
    ["constructor", FieldKind.Plain],
    ["toString", FieldKind.Plain],
  ])("knows %s", (name, kind) => {
    expect(fieldKind(name)).toBe(kind);
    expect(fieldKind(name)).toBe(kind);
  });

  it("stays right when strangers have filled its memory", () => {
    for (let i = 0; i < 3_000; i += 1) fieldKind(`x-stranger-${i}`);
    expect(fieldKind("tRaNsFeR-eNcOdInG")).toBe(FieldKind.TransferEncoding);
  });
});

describe("connection fields", () => {
  it("lists the options in lower case", () => {
    expect(connectionOptions(" Close , X-Secret,,TE")).toEqual(["close", "x-secret", "te"]);
  });

  it.each(["keep-alive", "Close", "Upgrade, keep-alive", "TE,close"])("takes %s for plain", (value) => {
    expect(isPlainConnection(value)).toBe(true);
  });

  it.each(["x-secret", "close, x-secret", "", "closed"])("does not take %j for plain", (value) => {
    expect(isPlainConnection(value)).toBe(false);
  });
});
