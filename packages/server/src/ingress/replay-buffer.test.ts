import { expect, it } from "vitest";
import { ReplayBudget, ReplayBuffer } from "./replay-buffer.ts";

it("keeps a body whole up to its limit", () => {
  const buffer = new ReplayBuffer(new ReplayBudget(100_000), 10);
  buffer.add(Buffer.from("hello"));
  buffer.add(Buffer.from("world"));
  expect(buffer.isWhole).toBe(true);
  expect(Buffer.concat([...buffer.chunks]).toString()).toBe("helloworld");
  buffer.add(Buffer.from("!"));
  expect(buffer.isWhole).toBe(false);
  expect(buffer.chunks).toEqual([]);
});

it("gives back what it held, once", () => {
  const budget = new ReplayBudget(100_000);
  const buffer = new ReplayBuffer(budget, 1_000);
  buffer.add(Buffer.alloc(600));
  expect(budget.heldBytes).toBeGreaterThan(600);
  buffer.drop();
  buffer.drop();
  buffer.add(Buffer.alloc(1));
  expect(budget.heldBytes).toBe(0);
});

it("counts tiny chunks at what they cost", () => {
  const budget = new ReplayBudget(16_384);
  const buffer = new ReplayBuffer(budget, 65_536);
  for (let i = 0; i < 100; i += 1) buffer.add(Buffer.alloc(1));
  expect(buffer.isWhole).toBe(false);
  expect(budget.heldBytes).toBe(0);
});

it("does not hold the read buffer a small chunk was cut from", () => {
  const buffer = new ReplayBuffer(new ReplayBudget(100_000), 1_000);
  const read = Buffer.alloc(65_536, "a");
  buffer.add(read.subarray(0, 3));
  read.fill("b");
  expect(buffer.chunks[0]?.toString()).toBe("aaa");
});
