import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readProxyHeader } from "./proxy-header.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}

const V1 = Buffer.from("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
const V2 = hex(`${SIGNATURE} 21 11 000c c0000201 c6336402 dc04 01bb`);

describe("readProxyHeader", () => {
  it.each([
    ["version 1", V1, { address: "192.0.2.1", port: 56_324 }],
    [
      "version 1, IPv6",
      Buffer.from("PROXY TCP6 2001:db8::1 ::1 4000 443\r\n"),
      { address: "2001:db8::1", port: 4_000 },
    ],
    ["version 1, unknown", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
    ["version 2", V2, { address: "192.0.2.1", port: 56_324 }],
    [
      "version 2, IPv6, with an extension",
      hex(`${SIGNATURE} 21 21 0027 20010db8${"0".repeat(22)}01 ${"0".repeat(31)}1 0fa0 01bb 040000`),
      { address: "2001:db8:0:0:0:0:0:1", port: 4_000 },
    ],
    ["version 2, a health check", hex(`${SIGNATURE} 20 00 0000`), undefined],
    ["version 2, a Unix socket", hex(`${SIGNATURE} 21 31 0002 0000`), undefined],
  ])("reads %s and leaves what follows alone", (_name, header, source) => {
    const found = readProxyHeader(Buffer.concat([header, Buffer.from("GET / HTTP/1.1\r\n")]));
    expect(found).toEqual({ kind: "whole", bytes: header.length, source });
  });

  it("waits for the rest, however little has come", () => {
    for (const header of [V1, V2])
      for (let length = 1; length < header.length; length += 1)
        expect(readProxyHeader(header.subarray(0, length)).kind, String(length)).toBe("partial");
  });

  it.each([
    "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 x\r\n",
    "PROXY TCP4 2001:db8::1 ::1 4000 443\r\n",
    "PROXY TCP4 192.0.2.999 198.51.100.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.2 99999 2\r\n",
    "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
    `PROXY TCP4 ${"1".repeat(200)}`,
  ])("refuses %j", (text) => {
    expect(readProxyHeader(Buffer.from(text)).kind).toBe("malformed");
  });

  it.each([
    `${SIGNATURE} 11 11 000c c0000201 c6336402 dc04 01bb`,
    `${SIGNATURE} 22 11 000c c0000201 c6336402 dc04 01bb`,
    `${SIGNATURE} 21 11 0004 c0000201`,
    `${SIGNATURE} 21 11 ffff`,
  ])("refuses version 2 of %s", (text) => {
    expect(readProxyHeader(hex(text)).kind).toBe("malformed");
  });

  it("takes requests and TLS for what they are", () => {
    for (const start of ["GET / HTTP/1.1\r\n", "POST /", "\u0016\u0003\u0001", "QUERY /"])
      expect(readProxyHeader(Buffer.from(start, "latin1")).kind).toBe("none");
  });

  it("never throws and never reads beyond what came", () => {
    const start = fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 60 }).map(withSignature));
    fc.assert(
      fc.property(start, (bytes) => {
        const found = readProxyHeader(Buffer.from(bytes));
        return found.kind !== "whole" || found.bytes <= bytes.length;
      }),
    );
  });
});

function withSignature(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([hex(SIGNATURE), bytes]);
}
