import fc from "fast-check";
import { expect, it } from "vitest";
import { StreamTable } from "./stream-table.ts";

it("holds what a Map holds, through any history of both ends' ids", () => {
  const step = fc.record({ isAdd: fc.boolean(), pick: fc.nat(), parity: fc.nat(1), skip: fc.nat(40) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new StreamTable<{ id: number }>();
      const twin = new Map<number, { id: number }>();
      const next = [2, 1];
      for (const { isAdd, pick, parity, skip } of steps) {
        if (isAdd || twin.size === 0) {
          const id = (next[parity] ?? 1) + skip * 2;
          next[parity] = id + 2;
          const stream = { id };
          table.add(id, stream);
          twin.set(id, stream);
        } else {
          const id = [...twin.keys()][pick % twin.size] ?? 0;
          expect(table.delete(id)).toBe(true);
          expect(table.delete(id)).toBe(false);
          twin.delete(id);
        }
        expect(table.size).toBe(twin.size);
      }
      for (const [id, stream] of twin) expect(table.get(id)).toBe(stream);
      expect(new Set(table.all())).toEqual(new Set(twin.values()));
      expect(table.get(4_000_000)).toBeUndefined();
    }),
  );
});
