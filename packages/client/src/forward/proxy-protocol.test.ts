import { describe, expect, it } from "vitest";
import { encodeProxyHeader } from "./proxy-protocol.ts";

const INET = { client: "192.0.2.1", clientPort: 56_324, local: "198.51.100.2", localPort: 443 };
const INET6 = { client: "2001:db8::1", clientPort: 1, local: "::", localPort: 65_535 };
const SIGNATURE = "0d0a0d0a000d0a515549540a";

function version1(facts: Parameters<typeof encodeProxyHeader>[1]): string {
  return encodeProxyHeader(1, facts).toString("latin1");
}

function version2(facts: Parameters<typeof encodeProxyHeader>[1]): string {
  return encodeProxyHeader(2, facts).toString("hex");
}

describe("a header of the PROXY protocol, version 1", () => {
  it("is a line with the visitor's address and the relay's", () => {
    expect(version1(INET)).toBe("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
    expect(version1(INET6)).toBe("PROXY TCP6 2001:db8::1 :: 1 65535\r\n");
  });

  it("writes addresses of two families as IPv6, and what is not known as nothing", () => {
    expect(version1({ ...INET, local: "::1" })).toBe("PROXY TCP6 ::ffff:192.0.2.1 ::1 56324 443\r\n");
    expect(version1({ client: "192.0.2.1" })).toBe("PROXY TCP4 192.0.2.1 0.0.0.0 0 0\r\n");
    expect(version1({ client: "2001:db8::1" })).toBe("PROXY TCP6 2001:db8::1 :: 0 0\r\n");
    expect(version1({})).toBe("PROXY UNKNOWN\r\n");
    expect(version1({ client: "no address\r\nGET /" })).toBe("PROXY UNKNOWN\r\n");
  });
});

describe("a header of the PROXY protocol, version 2", () => {
  it("is the signature, the family and the bytes of both ends", () => {
    expect(version2(INET)).toBe(`${SIGNATURE}2111000cc0000201c6336402dc0401bb`);
    const ends = `20010db8000000000000000000000001${"00".repeat(16)}`;
    expect(version2(INET6)).toBe(`${SIGNATURE}21210024${ends}0001ffff`);
  });

  it("writes addresses of two families as IPv6, and an unknown visitor as LOCAL", () => {
    const ends = `${"00".repeat(10)}ffffc0000201${"00".repeat(15)}01`;
    expect(version2({ ...INET, local: "::1" })).toBe(`${SIGNATURE}21210024${ends}dc0401bb`);
    expect(version2({})).toBe(`${SIGNATURE}20000000`);
  });
});
