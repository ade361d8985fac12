import { describe, expect, it } from "vitest";
import { TrustedPeers } from "./forwarded.ts";
import { peerOf } from "./peer.ts";

const trusted = new TrustedPeers(["10.0.0.0/8"]);

describe("the peer of a connection", () => {
  it("is found out once", () => {
    const socket = { remoteAddress: "::ffff:10.0.0.1" as string | undefined };
    const peer = peerOf(socket, trusted);
    // What Node says when the connection has ended.
    socket.remoteAddress = undefined;
    expect(peerOf(socket, trusted)).toBe(peer);
    expect([peer.address, peer.isTrusted]).toEqual(["10.0.0.1", true]);
  });

  it("is vouched for with the host of each request, not of the one before", () => {
    const peer = peerOf({ remoteAddress: "203.0.113.9" }, trusted);
    const hosts = ["a.test", "b.test:8080", "b.test:8080", "a.test"];
    const vouched = hosts.map((host) => peer.vouch(host, undefined));
    expect(vouched.map(({ host, port }) => `${host} ${port}`)).toEqual([
      "a.test 80",
      "b.test:8080 8080",
      "b.test:8080 8080",
      "a.test 80",
    ]);
    expect(vouched[1]?.forwarded).toBe('for=203.0.113.9;host="b.test:8080";proto=http');
  });

  it("keeps nothing of what a front end says about one visitor", () => {
    const peer = peerOf({ remoteAddress: "10.0.0.1" }, trusted);
    const none = { proto: undefined, host: undefined, port: undefined, forwarded: undefined };
    const clients = [{ ...none, for: "198.51.100.1" }, undefined, { ...none, for: "198.51.100.2" }, undefined];
    expect(clients.map((claims) => peer.vouch("a.test", claims).client)).toEqual([
      "198.51.100.1",
      "10.0.0.1",
      "198.51.100.2",
      "10.0.0.1",
    ]);
  });
});
