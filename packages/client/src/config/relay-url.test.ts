import { describe, expect, it } from "vitest";
import { isLoopbackHost, parseRelayUrl } from "./relay-url.ts";

describe("parseRelayUrl", () => {
  it.each([
    ["relay.example.com", "https://relay.example.com", 443],
    ["relay.example.com:8443", "https://relay.example.com:8443", 8443],
    ["https://Relay.Example.com/", "https://relay.example.com", 443],
    ["localhost:8080", "https://localhost:8080", 8080],
    ["http://localhost:8080", "http://localhost:8080", 8080],
    ["http://127.0.0.1", "http://127.0.0.1", 80],
    ["http://[::1]:9", "http://[::1]:9", 9],
    ["http://a.localhost:1", "http://a.localhost:1", 1],
    ["wss://relay.example.com", "https://relay.example.com", 443],
  ])("reads %s", (text, origin, port) => {
    expect(parseRelayUrl(text)).toMatchObject({ origin, port });
  });

  it("refuses http beyond loopback unless told that it is meant", () => {
    expect(() => parseRelayUrl("http://relay.example.com")).toThrow(/in the clear/);
    expect(() => parseRelayUrl("http://127.0.0.1.evil.example")).toThrow(/in the clear/);
    expect(parseRelayUrl("http://relay.example.com", { insecure: true }).origin).toBe("http://relay.example.com");
  });

  it.each(["", "ftp://x", "https://user:pw@host", "https://host/path", "https://host?x=1", "http://", "a b"])(
    "refuses %j",
    (text) => {
      expect(() => parseRelayUrl(text)).toThrow();
    },
  );
});

it("knows what never leaves the machine", () => {
  expect(["localhost", "x.localhost", "127.9.9.9", "[::1]", "::1"].map(isLoopbackHost)).toEqual([
    true,
    true,
    true,
    true,
    true,
  ]);
  expect(["localhost.example", "128.0.0.1", "127.0.0.1.nip.io", "::2"].map(isLoopbackHost)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
