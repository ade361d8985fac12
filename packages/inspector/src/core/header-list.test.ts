import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSecretField, maskedHead, maskValue, toFields, unmaskHead, valuesOf } from "./header-list.ts";

it("finds all values of a field, in order", () => {
  const pairs = ["A", "1", "b", "2", "a", "3"];
  expect(valuesOf(pairs, "a")).toEqual(["1", "3"]);
  expect(toFields(pairs)).toHaveLength(3);
});

describe("secrets", () => {
  it("are the fields that open doors, in any case", () => {
    expect(["Authorization", "COOKIE", "Set-Cookie", "X-Api-Key"].every(isSecretField)).toBe(true);
    expect(isSecretField("content-type")).toBe(false);
  });

  it("are masked but for the scheme", () => {
    expect(maskValue("Authorization", "Bearer abc")).toBe("Bearer ••••••••");
    expect(maskValue("Authorization", "abc")).toBe("••••••••");
    expect(maskValue("Cookie", "Bearer abc")).toBe("••••••••");
  });

  it("come back where their mask still stands", () => {
    const pairs = ["Host", "a", "Cookie", "x=1", "cookie", "y=2", "Authorization", "Bearer t"];
    const head = maskedHead(pairs);
    expect(head).not.toMatch(/x=1|y=2|Bearer t/);
    const edited = head.replace("Host: a", "Host: b").replace("Authorization: Bearer ••••••••", "Authorization: mine");
    expect(unmaskHead(edited, pairs)).toBe("Host: b\nCookie: x=1\ncookie: y=2\nAuthorization: mine");
  });

  it("change nothing in a head that is not edited", () => {
    const name = fc.constantFrom("authorization", "cookie", "Set-Cookie", "x-a", "accept");
    const value = fc.stringMatching(/^[!-~][ -~]{0,20}[!-~]$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (fields) => {
        const pairs = fields.flat();
        const plain = toFields(pairs).map((field) => `${field.name}: ${field.value}`);
        expect(unmaskHead(maskedHead(pairs), pairs)).toBe(plain.join("\n"));
      }),
    );
  });
});
