import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fifo } from "./fifo.ts";

describe("Fifo", () => {
  it("gives back what it was given, in order, whatever the order of pushes and shifts", () => {
    const steps = fc.array(fc.constantFrom("push", "push", "push", "shift", "shift", "replace", "clear"), {
      maxLength: 400,
    });
    fc.assert(
      fc.property(steps, (list) => {
        const fifo = new Fifo<number>();
        let model: number[] = [];
        let next = 0;
        for (const step of list) {
          next += 1;
          if (step === "push") {
            fifo.push(next);
            model.push(next);
          } else if (step === "shift") {
            expect(fifo.shift()).toBe(model.shift());
          } else if (step === "replace" && model.length > 0) {
            fifo.replaceLast(next);
            model[model.length - 1] = next;
          } else if (step === "clear" && next % 10 === 0) {
            fifo.clear();
            model = [];
          }
          expect(fifo.length).toBe(model.length);
          expect(fifo.all()).toEqual(model);
        }
      }),
    );
  });

  it("empties when more went through it than it keeps room for", () => {
    const fifo = new Fifo<number>();
    for (let i = 0; i < 1_000; i += 1) fifo.push(i);
    for (let i = 0; i < 1_000; i += 1) expect(fifo.shift()).toBe(i);
    expect(fifo.shift()).toBeUndefined();
    fifo.push(1);
    expect(fifo.all()).toEqual([1]);
  });
});
