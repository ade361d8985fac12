import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clientOf, forwardedFields, plainAddress, schemeOf, TrustedPeers } from "./forwarded.ts";

const trusted = new TrustedPeers(["127.0.0.0/8", "::1/128", "10.0.0.0/8", "fd00::/8", "192.0.2.7"]);

describe("TrustedPeers", () => {
  it.each(["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "fd00::5", "192.0.2.7"])("trusts %s", (address) => {
    expect(trusted.isTrusted(address)).toBe(true);
    expect(trusted.isTrusted(address)).toBe(true);
  });

  it.each(["192.0.2.8", "2001:db8::1", "unknown", "", "evil"])("does not trust %j", (address) => {
    expect(trusted.isTrusted(address)).toBe(false);
  });

  it("trusts nobody without ranges", () => {
    expect(new TrustedPeers([]).isTrusted("127.0.0.1")).toBe(false);
  });
});

describe("plainAddress", () => {
  it.each([
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["fe80::1%eth0", "fe80::1"],
    ["2001:db8::1", "2001:db8::1"],
    [undefined, "unknown"],
  ])("writes %s as %s", (address, expected) => {
    expect(plainAddress(address)).toBe(expected);
  });
});

describe("clientOf", () => {
  it.each([
    ["203.0.113.9", "10.0.0.1", "203.0.113.9"],
    ["6.6.6.6, 203.0.113.9, 10.0.0.2", "10.0.0.1", "203.0.113.9"],
    ["203.0.113.9:4711", "10.0.0.1", "203.0.113.9"],
    ["[2001:db8::1]:443", "10.0.0.1", "2001:db8::1"],
    ["203.0.113.9, evil", "10.0.0.1", "10.0.0.1"],
    ["10.0.0.3, 10.0.0.2", "10.0.0.1", "10.0.0.3"],
    ["203.0.113.9", "198.51.100.1", "198.51.100.1"],
  ])("finds the visitor in %s behind %s", (chain, peer, client) => {
    expect(clientOf({ for: chain, forwarded: "for=6.6.6.6" }, peer, trusted)).toBe(client);
  });

  it.each([
    ["for=203.0.113.9", "10.0.0.1", "203.0.113.9"],
    ["For=203.0.113.9 ; Proto=https;by=10.0.0.1", "10.0.0.1", "203.0.113.9"],
    ["for=6.6.6.6, for=203.0.113.9,for=10.0.0.2", "10.0.0.1", "203.0.113.9"],
    ['for="203.0.113.9:4711"', "10.0.0.1", "203.0.113.9"],
    ['for="203.0.113.9:_port"', "10.0.0.1", "203.0.113.9"],
    ['for="[2001:db8::1]:443"', "10.0.0.1", "2001:db8::1"],
    ["for=[2001:db8::1]", "10.0.0.1", "2001:db8::1"],
    ['for="2001:db8::1"', "10.0.0.1", "2001:db8::1"],
    ['host="a, for=6.6.6.6";for=203.0.113.9', "10.0.0.1", "203.0.113.9"],
    ["for=10.0.0.3, for=10.0.0.2", "10.0.0.1", "10.0.0.3"],
    ["for=203.0.113.9", "198.51.100.1", "198.51.100.1"],
    // An open quote, an escape and other nonsense of the visitor's, in front of what the front end wrote.
    ['for=6.6.6.6;x=", for=203.0.113.9', "10.0.0.1", "203.0.113.9"],
    ['for="6.6.6.6\\, for="203.0.113.9"', "10.0.0.1", "203.0.113.9"],
    ["for=6.6.6.6;;=, for=203.0.113.9", "10.0.0.1", "203.0.113.9"],
    // Nobody knows who wrote what stands left of these.
    ["for=6.6.6.6, for=unknown", "10.0.0.1", "10.0.0.1"],
    ["for=6.6.6.6, for=_hidden, for=10.0.0.2", "10.0.0.1", "10.0.0.2"],
    ["for=6.6.6.6, proto=https", "10.0.0.1", "10.0.0.1"],
    ["for=6.6.6.6, ", "10.0.0.1", "10.0.0.1"],
    ["for=6.6.6.6;for=203.0.113.9", "10.0.0.1", "10.0.0.1"],
    ["for=6.6.6.6 evil", "10.0.0.1", "10.0.0.1"],
    ['for="6.6.6.6', "10.0.0.1", "10.0.0.1"],
    ["6.6.6.6", "10.0.0.1", "10.0.0.1"],
  ])("finds the visitor in Forwarded: %s behind %s", (forwarded, peer, client) => {
    expect(clientOf({ for: undefined, forwarded }, peer, trusted)).toBe(client);
  });

  it("is not misled by anything a visitor writes in front of a front end's element", () => {
    const nasty = fc.string({
      unit: fc.constantFrom('"', "\\", ",", ";", "=", " ", "for=6.6.6.6", "x", "[", "10.0.0.2"),
    });
    fc.assert(
      fc.property(nasty, (before) => {
        const forwarded = `${before}, for="203.0.113.9:80";proto=https`;
        return clientOf({ for: undefined, forwarded }, "10.0.0.1", trusted) === "203.0.113.9";
      }),
    );
  });
});

describe("schemeOf", () => {
  it("is what the outermost front end says", () => {
    const list = "for=6.6.6.6;proto=gopher, for=203.0.113.9;proto=HTTPS, for=10.0.0.2;proto=http";
    expect(schemeOf(list, "10.0.0.1", trusted)).toBe("https");
    expect(schemeOf(list, "198.51.100.1", trusted)).toBeUndefined();
  });
});

describe("forwardedFields", () => {
  const none = { for: undefined, proto: undefined, host: undefined, port: undefined, forwarded: undefined };

  it("starts the chain for a visitor who comes directly", () => {
    expect(forwardedFields("203.0.113.9", "a.test:8080", false, undefined, trusted)).toEqual({
      client: "203.0.113.9",
      for: "203.0.113.9",
      proto: "http",
      host: "a.test:8080",
      port: "8080",
      forwarded: 'for=203.0.113.9;host="a.test:8080";proto=http',
    });
  });

  it("brackets and quotes IPv6", () => {
    const fields = forwardedFields("2001:db8::1", "[::1]:99", true, undefined, trusted);
    expect(fields.forwarded).toBe('for="[2001:db8::1]";host="[::1]:99";proto=https');
    expect(fields.port).toBe("99");
  });

  it("extends what a trusted front end said", () => {
    const claims = { for: "1.2.3.4", proto: "HTTPS", host: "public.test", port: undefined, forwarded: "for=1.2.3.4" };
    expect(forwardedFields("10.0.0.1", "inner", false, claims, trusted)).toEqual({
      client: "1.2.3.4",
      for: "1.2.3.4, 10.0.0.1",
      proto: "https",
      host: "public.test",
      port: "443",
      forwarded: "for=1.2.3.4, for=10.0.0.1;host=inner;proto=https",
    });
  });

  it("leaves out what the visitor wrote into the chain, in both fields", () => {
    const forged = "for=6.6.6.6;proto=gopher";
    const claims = { ...none, for: "6.6.6.6, evil, 203.0.113.9:80, 10.0.0.2", forwarded: forged };
    expect(forwardedFields("10.0.0.1", "a", false, claims, trusted)).toMatchObject({
      client: "203.0.113.9",
      for: "203.0.113.9:80, 10.0.0.2, 10.0.0.1",
      forwarded: 'for="203.0.113.9:80", for=10.0.0.2, for=10.0.0.1;host=a;proto=http',
    });
    const nonsense = { ...none, for: "evil", forwarded: forged };
    expect(forwardedFields("10.0.0.1", "a", false, nonsense, trusted)).toMatchObject({
      client: "10.0.0.1",
      for: "10.0.0.1",
      forwarded: "for=10.0.0.1;host=a;proto=http",
    });
  });

  it("believes Forwarded where a front end writes nothing else, from its near end", () => {
    const forwarded =
      'for=6.6.6.6;proto=http, for="[2001:db8::9]:4711";proto=https;host="shop.test:8443", for=10.0.0.2;proto=http';
    expect(forwardedFields("10.0.0.1", "a", false, { ...none, forwarded }, trusted)).toEqual({
      client: "2001:db8::9",
      for: "2001:db8::9, 10.0.0.2, 10.0.0.1",
      proto: "https",
      host: "shop.test:8443",
      port: "8443",
      forwarded:
        'for="[2001:db8::9]:4711";proto=https;host="shop.test:8443", for=10.0.0.2;proto=http, for=10.0.0.1;host=a;proto=https',
    });
  });

  it("takes from Forwarded only what X-Forwarded-* do not say, and nothing beside X-Forwarded-For", () => {
    const forwarded = "for=203.0.113.9;proto=https;host=other.test";
    const beside = { ...none, proto: "http", host: "outer.test", forwarded };
    expect(forwardedFields("10.0.0.1", "a", false, beside, trusted)).toMatchObject({
      client: "203.0.113.9",
      proto: "http",
      host: "outer.test",
    });
    expect(forwardedFields("10.0.0.1", "a", false, { ...none, for: "1.2.3.4", forwarded }, trusted)).toMatchObject({
      client: "1.2.3.4",
      proto: "http",
      host: "a",
    });
  });

  it("takes no host from Forwarded that is none", () => {
    for (const host of ['"x\\"y, z"', '"a b"', '"a/b"', '""']) {
      const claims = { ...none, forwarded: `for=203.0.113.9;host=${host}` };
      expect(forwardedFields("10.0.0.1", "a", false, claims, trusted)).toMatchObject({
        client: "203.0.113.9",
        host: "a",
      });
    }
  });

  it("drops a Forwarded in which nothing can be believed", () => {
    for (const forwarded of ["for=unknown", "for=6.6.6.6, for=_x", "evil", '", \\'])
      expect(forwardedFields("10.0.0.1", "a", false, { ...none, forwarded }, trusted)).toMatchObject({
        client: "10.0.0.1",
        for: "10.0.0.1",
        forwarded: "for=10.0.0.1;host=a;proto=http",
      });
  });

  it("does not believe a scheme or port that is none", () => {
    const claims = { ...none, proto: "javascript", port: "80; x" };
    expect(forwardedFields("10.0.0.1", "a", false, claims, trusted)).toMatchObject({ proto: "http", port: "80" });
  });
});
