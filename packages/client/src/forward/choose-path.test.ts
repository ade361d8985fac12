import type { HttpOpenHead } from "@ggrok/protocol";
import { expect, it } from "vitest";
import { choosePath } from "./choose-path.ts";

function head(o: Partial<HttpOpenHead>): HttpOpenHead {
  return {
    kind: "http",
    bind: 1,
    requestId: "r",
    method: "GET",
    target: "/",
    version: "1.1",
    fields: ["Host", "h", "Accept", "*/*", "Cookie", "a=b"],
    ...o,
  };
}

it.each(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PURGE", "MKCOL"])(
  "sends a %s without body the fast way",
  (method) => {
    expect(choosePath(head({ method }), true)).toBe("fast");
  },
);

it.each(["POST", "PUT", "PATCH", "QUERY", "PROPFIND", "PROPPATCH", "CONNECT"])("sends a %s the full way", (method) => {
  expect(choosePath(head({ method }), true)).toBe("full");
});

it("sends whatever has a body the full way", () => {
  expect(choosePath(head({}), false)).toBe("full");
  expect(choosePath(head({ fields: ["Host", "h", "Content-Length", "0"] }), true)).toBe("full");
});

it.each([
  "TE",
  "Expect",
  "EXPECT",
  "Upgrade",
  "Connection",
  "keep-alive",
  "Content-Length",
  "Proxy-Connection",
  "Transfer-Encoding",
])("sends a request with %s the full way", (name) => {
  expect(choosePath(head({ fields: ["Host", "h", name, "x"] }), true)).toBe("full");
});

it("sends a request without Host, or with two, the full way", () => {
  expect(choosePath(head({ fields: [] }), true)).toBe("full");
  expect(choosePath(head({ fields: ["Host", "a", "host", "b"] }), true)).toBe("full");
});

it("sends the asterisk form the full way", () => {
  expect(choosePath(head({ method: "OPTIONS", target: "*" }), true)).toBe("full");
});

it("sends an upgrade its own way, whatever else it says", () => {
  expect(choosePath(head({ kind: "upgrade", fields: ["Host", "h", "Expect", "x"] }), true)).toBe("upgrade");
});
