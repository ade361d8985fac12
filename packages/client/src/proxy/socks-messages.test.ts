import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SocksReply } from "./failure.ts";
import {
  encodeGreeting,
  encodeLogin,
  encodeReply,
  encodeRequest,
  parseChoice,
  parseGreeting,
  parseLogin,
  parseReply,
  parseRequest,
  SocksFormatError,
  SocksMethod,
} from "./socks-messages.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const port = fc.integer({ min: 0, max: 65_535 });
const text = fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 255 });

describe("SOCKS5 messages", () => {
  it("are those of RFC 1928 and 1929, byte for byte", () => {
    expect(encodeGreeting([SocksMethod.None, SocksMethod.Login])).toEqual(hex("05 02 00 02"));
    expect(encodeLogin("ann", "pw")).toEqual(hex("01 03 616e6e 02 7077"));
    expect(encodeRequest({ host: "a.io", port: 443 })).toEqual(hex("05 01 00 03 04 612e696f 01bb"));
    expect(encodeRequest({ host: "127.0.0.1", port: 80 })).toEqual(hex("05 01 00 01 7f000001 0050"));
    expect(encodeRequest({ host: "::1", port: 80 })).toEqual(hex("05 01 00 04 00000000000000000000000000000001 0050"));
    expect(encodeReply(SocksReply.Refused)).toEqual(hex("05 05 00 01 00000000 0000"));
  });

  it("come back as they went, with what follows left alone", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.domain()), port, fc.uint8Array(), (host, number, rest) => {
        const bytes = encodeRequest({ host, port: number });
        expect(parseRequest(Buffer.concat([bytes, rest]))).toEqual({
          command: 1,
          destination: { host, port: number },
          length: bytes.length,
        });
      }),
    );
    fc.assert(
      fc.property(text, text, (username, password) => {
        const bytes = encodeLogin(username, password);
        expect(parseLogin(bytes)).toEqual({ username, password, length: bytes.length });
      }),
    );
  });

  it("carry IPv6 addresses whatever way they are written", () => {
    fc.assert(
      fc.property(fc.ipV6(), (host) => {
        const parsed = parseRequest(encodeRequest({ host, port: 1 }));
        const canonical = new URL(`http://[${host}]`).hostname.slice(1, -1);
        expect(parsed?.destination.host).toBe(canonical);
      }),
    );
  });

  it("ask for more at every byte before the last", () => {
    const whole: [Buffer, (bytes: Buffer) => unknown][] = [
      [encodeGreeting([SocksMethod.None, SocksMethod.Login]), parseGreeting],
      [encodeLogin("ann", "secret"), parseLogin],
      [encodeRequest({ host: "example.com", port: 443 }), parseRequest],
      [encodeRequest({ host: "10.0.0.1", port: 443 }), parseRequest],
      [encodeRequest({ host: "fd00::1", port: 443 }), parseRequest],
      [encodeReply(SocksReply.Succeeded), parseReply],
      [hex("05 00"), parseChoice],
    ];
    for (const [bytes, parse] of whole) {
      for (let length = 0; length < bytes.length; length++) expect(parse(bytes.subarray(0, length))).toBeUndefined();
      expect(parse(bytes)).toMatchObject({ length: bytes.length });
    }
  });

  it("survive anything: a parser returns, asks for more, or refuses with its own error", () => {
    const parsers = [parseGreeting, parseLogin, parseRequest, parseReply, parseChoice];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.constantFrom(...parsers), (bytes, parse) => {
        try {
          const parsed = parse(Buffer.from(bytes));
          if (parsed !== undefined) expect(parsed.length).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(SocksFormatError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("name an address type nobody knows", () => {
    expect(() => parseRequest(hex("05 01 00 02 00000000 0050"))).toThrowError(
      expect.objectContaining({ reply: SocksReply.AddressUnsupported }),
    );
  });

  it("take a refusal of two bytes for one", () => {
    expect(parseReply(hex("05 02"))).toEqual({ reply: SocksReply.NotAllowed, length: 2 });
  });

  it("are not those of other protocols", () => {
    for (const other of ["GET / HTTP/1.1", "\x04\x01\x00\x50", "\x16\x03\x01"]) {
      expect(() => parseGreeting(Buffer.from(other, "latin1"))).toThrow(SocksFormatError);
      expect(() => parseRequest(Buffer.from(other, "latin1"))).toThrow(SocksFormatError);
    }
    expect(() => parseChoice(Buffer.from("HTTP/1.1 400 Bad Request"))).toThrow(SocksFormatError);
  });
});
