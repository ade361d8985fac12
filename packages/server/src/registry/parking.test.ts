import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Parking, ParkingSpot, type ParkOptions } from "./parking.ts";

const LIMITS = { maxParked: 3, maxParkedPerEndpoint: 2, maxParkedBytes: 100 };

function options(o: Partial<ParkOptions> = {}): ParkOptions {
  return { host: "h", target: "/", bytes: 10, timeoutMs: 1_000, signal: new AbortController().signal, ...o };
}

describe("Parking", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("wakes those who wait, in the order they came", async () => {
    const parking = new Parking(LIMITS);
    const spot = new ParkingSpot();
    const order: string[] = [];
    const waits = ["a", "b"].map((name) =>
      parking.park(spot, options()).then((result) => order.push(`${name} ${result}`)),
    );
    parking.release(spot, "ready");
    await Promise.all(waits);
    expect(order).toEqual(["a ready", "b ready"]);
    expect([parking.count, parking.bytes]).toEqual([0, 0]);
  });

  it("gives up after the time it was given", async () => {
    const parking = new Parking(LIMITS);
    const wait = parking.park(new ParkingSpot(), options());
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await wait).toBe("offline");
    expect(parking.count).toBe(0);
  });

  it("does not wait at all when there is no time", async () => {
    expect(await new Parking(LIMITS).park(new ParkingSpot(), options({ timeoutMs: 0 }))).toBe("offline");
  });

  it("lets go when the visitor leaves", async () => {
    const parking = new Parking(LIMITS);
    const visitor = new AbortController();
    const wait = parking.park(new ParkingSpot(), options({ signal: visitor.signal }));
    visitor.abort();
    expect(await wait).toBe("aborted");
    expect([parking.count, parking.bytes, vi.getTimerCount()]).toEqual([0, 0, 0]);
    expect(await parking.park(new ParkingSpot(), options({ signal: visitor.signal }))).toBe("aborted");
  });

  it.each([
    ["endpoint", [10, 10], 1],
    ["relay", [10, 10, 10], 2],
    ["memory", [60], 2],
  ])("is full at the limit of the %s", async (what, sizes, spots) => {
    const parking = new Parking(LIMITS);
    const places = [new ParkingSpot(), new ParkingSpot()];
    const pick = (i: number): ParkingSpot => places[spots === 1 ? 0 : i % 2] ?? new ParkingSpot();
    const waits = sizes.map((bytes, i) => parking.park(pick(i), options({ bytes })));
    expect(await parking.park(pick(sizes.length), options({ bytes: what === "memory" ? 41 : 10 }))).toBe("full");
    for (const place of places) parking.release(place, "offline");
    expect(await Promise.all(waits)).toEqual(sizes.map(() => "offline"));
    expect([parking.count, parking.bytes]).toEqual([0, 0]);
  });

  it("wakes only those the filter names", async () => {
    const parking = new Parking(LIMITS);
    const spot = new ParkingSpot();
    const a = parking.park(spot, options({ host: "a" }));
    const b = parking.park(spot, options({ host: "b" }));
    parking.release(spot, "ready", (tag) => tag.host === "b");
    expect(await b).toBe("ready");
    expect(parking.count).toBe(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await a).toBe("offline");
  });
});
