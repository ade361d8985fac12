import type { LookupAddress } from "node:dns";
import { describe, expect, it } from "vitest";
import { findAddresses, formatAuthority, parseAuthority, resolveBySystem } from "./destination.ts";

const answering = (...addresses: string[]) => {
  const asked: string[] = [];
  const resolve = async (name: string): Promise<LookupAddress[]> => {
    asked.push(name);
    return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  };
  return { resolve, asked };
};

describe("findAddresses", () => {
  const hop = "destination" as const;

  it("leaves what is public of a name that has both", async () => {
    const { resolve, asked } = answering("10.0.0.1", "1.1.1.1", "::1", "::ffff:127.0.0.1");
    const found = await findAddresses("mixed.example", { resolve, isPublicOnly: true, hop });
    expect(found).toEqual([{ address: "1.1.1.1", family: 4 }]);
    expect(asked).toEqual(["mixed.example"]);
  });

  it.each(["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "10.0.0.1"])(
    "refuses a name that leads to %s",
    async (a) => {
      const { resolve } = answering(a);
      await expect(findAddresses("rebind.example", { resolve, isPublicOnly: true, hop })).rejects.toMatchObject({
        kind: "forbidden",
      });
      expect(await findAddresses("rebind.example", { resolve, isPublicOnly: false, hop })).toHaveLength(1);
    },
  );

  it("asks nobody about an address", async () => {
    const { resolve, asked } = answering("1.1.1.1");
    await expect(findAddresses("10.0.0.1", { resolve, isPublicOnly: true, hop })).rejects.toMatchObject({
      kind: "forbidden",
    });
    expect(await findAddresses("::1", { resolve, isPublicOnly: false, hop })).toEqual([{ address: "::1", family: 6 }]);
    expect(asked).toEqual([]);
  });

  it("says when a name has no address", async () => {
    const { resolve } = answering();
    await expect(findAddresses("none.example", { resolve, isPublicOnly: false, hop })).rejects.toMatchObject({
      kind: "name-unknown",
    });
  });

  it("knows both families of localhost names", async () => {
    for (const name of ["localhost", "a.b.localhost", "LOCALHOST."]) {
      expect((await resolveBySystem(name)).map(({ address }) => address)).toEqual(["127.0.0.1", "::1"]);
    }
  });
});

describe("an authority", () => {
  it.each(["a.io:443", "10.0.0.1:1", "[::1]:65535", "x_y-z.example:8080"])("%s comes back as it was", (text) => {
    const parsed = parseAuthority(text);
    expect(parsed && formatAuthority(parsed)).toBe(text);
  });

  it.each([
    ...[
      "",
      ":",
      "a.io",
      "a.io:",
      "a.io:0",
      "a.io:65536",
      "a.io:1x",
      "::1:443",
      "[::1]",
      "[::1]443",
      "[a.io]:1",
      "a@b:1",
    ],
    ...["a.io:443/", "a b:1", "a\r\nb:1", "ä.io:1", `${"a".repeat(256)}:1`, "a.io:443:443", "[fe80::1%eth0]:1"],
  ])("%j is none", (text) => {
    expect(parseAuthority(text)).toBeUndefined();
  });
});
