import { expect, it } from "vitest";
import { parseCookies, parseSetCookie } from "./cookies.ts";

it("reads cookies of one field or of several", () => {
  expect(parseCookies(['a=1; b="two words"', "c=x=y;;", "bare"])).toEqual([
    { name: "a", value: "1" },
    { name: "b", value: "two words" },
    { name: "c", value: "x=y" },
    { name: "bare", value: "" },
  ]);
  expect(parseCookies([])).toEqual([]);
});

it("reads a cookie that is set, with its attributes as they stand", () => {
  expect(parseSetCookie("sid=a=b; Path=/; HttpOnly;  SameSite=Lax")).toEqual({
    name: "sid",
    value: "a=b",
    attributes: ["Path=/", "HttpOnly", "SameSite=Lax"],
  });
});
