import { describe, expect, it } from "vitest";
import { isTrustedRequest } from "./guard.ts";

describe("isTrustedRequest", () => {
  it.each([
    [{ host: "127.0.0.1:4040" }],
    [{ host: "localhost:4040" }],
    [{ host: "LOCALHOST" }],
    [{ host: "[::1]:4040" }],
    [{ host: "10.1.2.3:8080" }],
    [{ host: "devbox:4040" }],
    [{ host: "localhost:4040", origin: "http://localhost:4040" }],
    [{ host: "localhost:4040", "sec-fetch-site": "same-origin" }],
    [{ host: "localhost:4040", "sec-fetch-site": "none" }],
  ])("answers %j", (headers) => {
    expect(isTrustedRequest(headers, "devbox")).toBe(true);
  });

  it.each([
    [{}],
    [{ host: "" }],
    [{ host: "evil.example" }],
    [{ host: "127.0.0.1.evil.example" }],
    [{ host: "localhost." }],
    [{ host: "localhost.evil.example:4040" }],
    [{ host: "evil.example@127.0.0.1" }],
    [{ host: "127.0.0.1:4040", origin: "https://evil.example" }],
    [{ host: "127.0.0.1:4040", origin: "null" }],
    [{ host: "127.0.0.1:4040", origin: "http://127.0.0.1:3000" }],
    [{ host: "127.0.0.1:4040", "sec-fetch-site": "cross-site" }],
    [{ host: "127.0.0.1:4040", "sec-fetch-site": "same-site" }],
  ])("refuses %j", (headers) => {
    expect(isTrustedRequest(headers, "127.0.0.1")).toBe(false);
  });
});
