import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import type { RelayConfig } from "../config/config.ts";
import { TrustedPeers } from "../ingress/forwarded.ts";
import { createOrigins, urlOfRelay } from "./origin.ts";

const trusted = new TrustedPeers(["10.0.0.0/8"]);

function requestFrom(remoteAddress: string, fields: Record<string, string>, encrypted?: true): IncomingMessage {
  const rawHeaders = Object.entries(fields).flat();
  return { socket: { remoteAddress, encrypted }, headers: fields, rawHeaders } as unknown as IncomingMessage;
}

const nowhere = { publicUrl: undefined, domain: undefined, tls: [], port: 8_080 };
const tls = [{ cert: "c", key: "k" }];

describe("an invite", () => {
  const local = requestFrom("127.0.0.1", { host: "Localhost:8080" });

  it.each([
    [{ publicUrl: "https://tunnel.test", domain: "other.test" }, "https://tunnel.test"],
    [{ domain: "other.test" }, "https://other.test"],
    [{ domain: "other.test", tls }, "https://other.test:8080"],
    [{ domain: "other.test", tls, port: 443 }, "https://other.test"],
    [{ domain: "localhost" }, "http://localhost:8080"],
    [{}, "http://localhost:8080"],
  ])("leads to what is configured, else to where the operator has reached the relay: %j", (config, origin) => {
    expect(createOrigins({ ...nowhere, ...config }, trusted).forInvite(local)).toBe(origin);
  });

  it("says https where the relay has TLS of its own, or a trusted front end says so", () => {
    const { forInvite } = createOrigins(nowhere, trusted);
    const said = { host: "relay.test", "x-forwarded-proto": "https" };
    expect(forInvite(requestFrom("192.0.2.1", { host: "relay.test" }, true))).toBe("https://relay.test");
    expect(forInvite(requestFrom("10.0.0.1", said))).toBe("https://relay.test");
    expect(forInvite(requestFrom("192.0.2.1", said))).toBe("http://relay.test");
  });
});

describe("an agent's URLs", () => {
  it("are made of the public URL, else of where the agent has reached the relay", () => {
    const req = requestFrom("10.0.0.1", { host: "relay.test:81", forwarded: "for=192.0.2.1;proto=https" });
    const ofPublicUrl = createOrigins({ ...nowhere, publicUrl: "http://tunnel.test:90", domain: "d.test" }, trusted);
    expect(ofPublicUrl.forAgent(req)).toEqual({ scheme: "http", authority: "tunnel.test:90" });
    const ofRequest = createOrigins({ ...nowhere, domain: "d.test" }, trusted);
    expect(ofRequest.forAgent(req)).toEqual({ scheme: "https", authority: "relay.test:81" });
  });
});

describe("the relay's URL", () => {
  const nothing = { publicUrl: undefined, domain: undefined, bind: undefined, tls: [] };

  it.each([
    [{}, "http://localhost:81"],
    [{ tls }, "https://localhost:81"],
    [{ bind: "192.0.2.1" }, "http://192.0.2.1:81"],
    [{ bind: "2001:db8::1", tls }, "https://[2001:db8::1]:81"],
    [{ bind: "192.0.2.1", domain: "d.test" }, "http://d.test:81"],
    [{ publicUrl: "https://p.test", domain: "d.test" }, "https://p.test"],
  ])("works on this machine unless a public one is configured: %j", (config, url) => {
    expect(urlOfRelay({ ...nothing, ...config } as unknown as RelayConfig, 81)).toBe(url);
  });
});
