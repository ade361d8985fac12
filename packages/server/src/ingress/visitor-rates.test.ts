import { describe, expect, it } from "vitest";
import { RELAY_LIMITS } from "../limits.ts";
import { TrustedPeers } from "./forwarded.ts";
import { VisitorRates } from "./visitor-rates.ts";

const trusted = new TrustedPeers(["127.0.0.0/8", "::1", "10.0.0.0/8"]);

/** Connections of an address that are admitted out of so many at one moment. */
function connections(rates: VisitorRates, remoteAddress: string, count: number, nowMs = 0): number {
  let admitted = 0;
  for (let i = 0; i < count; i += 1) if (rates.admitsConnection({ remoteAddress }, nowMs)) admitted += 1;
  return admitted;
}

describe("the connections of one address", () => {
  it("are admitted up to the burst, then at the rate, whatever other addresses do", () => {
    const rates = new VisitorRates(trusted);
    expect(connections(rates, "203.0.113.7", 3_000)).toBe(RELAY_LIMITS.connectionBurst);
    expect(connections(rates, "203.0.113.8", 100)).toBe(100);
    expect(connections(rates, "203.0.113.7", 3_000, 1_000)).toBe(RELAY_LIMITS.connectionsPerSecond);
  });

  it("count for its /64 where it is IPv6, and as IPv4 where that was mapped", () => {
    const rates = new VisitorRates(trusted);
    expect(connections(rates, "2001:db8:1:2::1", 3_000)).toBe(RELAY_LIMITS.connectionBurst);
    expect(connections(rates, "2001:db8:1:2:ffff::9", 10)).toBe(0);
    expect(connections(rates, "2001:db8:1:3::1", 10)).toBe(10);
    expect(connections(rates, "::ffff:203.0.113.7", 3_000)).toBe(RELAY_LIMITS.connectionBurst);
    expect(connections(rates, "203.0.113.7", 10)).toBe(0);
  });

  it("are not counted where it is a trusted front end's", () => {
    const rates = new VisitorRates(trusted);
    for (const address of ["127.0.0.1", "::1", "10.1.2.3", "::ffff:10.1.2.3"])
      expect(connections(rates, address, 5_000)).toBe(5_000);
  });

  it("of more addresses than are remembered forget the one seen longest ago", () => {
    const rates = new VisitorRates(trusted, {
      connections: { perSecond: 1, burst: 1 },
      requests: { perSecond: 1, burst: 1 },
    });
    expect(connections(rates, "203.0.113.7", 2)).toBe(1);
    for (let i = 0; i < RELAY_LIMITS.ratedAddresses; i += 1) {
      const address = `198.${String(18 + (i >> 16))}.${String((i >> 8) & 255)}.${String(i & 255)}`;
      expect(connections(rates, address, 1)).toBe(1);
    }
    expect(connections(rates, "203.0.113.7", 2)).toBe(1);
  });
});

describe("the requests of one client", () => {
  const limits = { connections: { perSecond: 1, burst: 1 }, requests: { perSecond: 0.01, burst: 2 } };

  it("behind a trusted front end are bounded, with the time to wait", () => {
    const rates = new VisitorRates(trusted, limits);
    const ask = (client: string): number | undefined => rates.secondsToWait(client, { remoteAddress: "10.0.0.1" });
    expect([ask("203.0.113.7"), ask("203.0.113.7"), ask("203.0.113.8")]).toEqual([undefined, undefined, undefined]);
    expect(ask("203.0.113.7")).toBeGreaterThan(90);
    expect(ask("203.0.113.8")).toBeUndefined();
  });

  it("are not counted when it comes directly, or is a front end itself", () => {
    const rates = new VisitorRates(trusted, limits);
    for (let i = 0; i < 10; i += 1) {
      expect(rates.secondsToWait("203.0.113.7", { remoteAddress: "::ffff:203.0.113.7" })).toBeUndefined();
      expect(rates.secondsToWait("10.0.0.2", { remoteAddress: "10.0.0.1" })).toBeUndefined();
      expect(rates.secondsToWait("127.0.0.1", { remoteAddress: "127.0.0.1" })).toBeUndefined();
    }
  });
});
