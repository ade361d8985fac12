import { expect, it } from "vitest";
import { isLoop, viaOf } from "./loop.ts";

const LIMITS = { maxOwnPasses: 3, maxRelays: 5 };

it("lets a request pass the same relay as often as allowed", () => {
  const own = viaOf("1.1", "r1");
  expect(isLoop([own], "r1", LIMITS)).toBe(false);
  expect(isLoop([own, own], "r1", LIMITS)).toBe(false);
  expect(isLoop([`${own}, ${own}`, own], "r1", LIMITS)).toBe(true);
});

it("counts relays of other names and relays whose comment was removed", () => {
  const chain = ["1.1 ggrok (a), 1.0 ggrok (b)", "1.1 ggrok", "1.1 ggrok (c)"];
  expect(isLoop(chain, "r1", LIMITS)).toBe(false);
  expect(isLoop([...chain, "1.1 ggrok"], "r1", LIMITS)).toBe(true);
});

it("does not count other proxies", () => {
  expect(
    isLoop(["1.1 varnish, 1.1 fly.io, 2 ggroks", "1.1 not-ggrok (r1)"], "r1", { maxOwnPasses: 1, maxRelays: 1 }),
  ).toBe(false);
});
