import { BlockList } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPublicAddress } from "./guard.ts";

describe("isPublicAddress", () => {
  it.each([
    ...[
      "0.0.0.0",
      "10.1.2.3",
      "100.64.0.1",
      "127.0.0.1",
      "127.9.9.9",
      "169.254.169.254",
      "172.16.0.1",
      "172.31.255.255",
    ],
    ...[
      "192.0.0.8",
      "192.0.2.1",
      "192.168.1.1",
      "198.18.0.1",
      "198.51.100.1",
      "203.0.113.9",
      "224.0.0.1",
      "255.255.255.255",
    ],
    ...[
      "::",
      "::1",
      "::7f00:1",
      "::ffff:127.0.0.1",
      "::ffff:7f00:1",
      "0:0:0:0:0:ffff:10.0.0.1",
      "::ffff:169.254.169.254",
    ],
    ...["64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1"],
    ...["3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1"],
    ...["", "localhost", "1.2.3", "::ffff:0:127.0.0.1", "not an address"],
  ])("refuses %s", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each([
    ...[
      "1.1.1.1",
      "8.8.8.8",
      "172.15.255.255",
      "172.32.0.1",
      "100.63.255.255",
      "100.128.0.1",
      "169.253.0.1",
      "223.255.255.255",
    ],
    ...[
      "2606:4700::1111",
      "2001:4860:4860::8888",
      "2a00:1450::1",
      "::ffff:8.8.8.8",
      "64:ff9b::8.8.8.8",
      "2002:808:808::1",
    ],
  ])("lets %s pass", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it("judges an IPv4 address alike in every form that leads to it", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
        const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
        const forms = [
          `::ffff:${address}`,
          `::ffff:${hex}`,
          `64:ff9b::${address}`,
          `2002:${hex}::1`,
          `0:0:0:0:0:FFFF:${hex}`,
        ];
        const verdicts = new Set([address, ...forms].map(isPublicAddress));
        expect(verdicts.size, forms.join(" ")).toBe(1);
      }),
    );
  });

  it("refuses every IPv6 address outside global unicast but translated IPv4", () => {
    const unicast = new BlockList();
    unicast.addSubnet("2000::", 3, "ipv6");
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const isTranslated = /^(::|0+:)*.*(ffff|64:ff9b)/i.test(address);
        if (!isTranslated && !unicast.check(address, "ipv6")) expect(isPublicAddress(address), address).toBe(false);
      }),
    );
  });
});
