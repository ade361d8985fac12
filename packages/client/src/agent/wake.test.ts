import { expect, it } from "vitest";
import { createWakeDetector } from "./wake.ts";

function setUp() {
  const now = { wall: 1_000_000, monotonic: 50, network: "eth0 10.0.0.2" };
  const detector = createWakeDetector(
    { wallMs: () => now.wall, monotonicMs: () => now.monotonic, network: () => now.network },
    1_000,
  );
  const pass = (wall: number, monotonic: number) => {
    now.wall += wall;
    now.monotonic += monotonic;
    return detector.check();
  };
  return { now, pass };
}

it("stays quiet while both clocks run alike", () => {
  const { pass } = setUp();
  expect(pass(1_000, 1_000)).toBeUndefined();
  expect(pass(3_500, 3_500)).toBeUndefined();
});

it("notices a sleep in which the monotonic clock stood still, once", () => {
  const { pass } = setUp();
  expect(pass(600_000, 900)).toBe("wake");
  expect(pass(1_000, 1_000)).toBeUndefined();
});

it("notices a sleep in which both clocks ran on", () => {
  const { pass } = setUp();
  expect(pass(600_000, 600_000)).toBe("wake");
});

it("takes a clock that is set back for no wake", () => {
  const { pass } = setUp();
  expect(pass(-3_600_000, 1_000)).toBeUndefined();
  expect(pass(1_000, 1_000)).toBeUndefined();
});

it("notices another network", () => {
  const { now, pass } = setUp();
  now.network = "wlan0 192.168.0.7";
  expect(pass(1_000, 1_000)).toBe("network-changed");
  expect(pass(1_000, 1_000)).toBeUndefined();
});
