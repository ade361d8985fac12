import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { corkTurn } from "./cork-turn.ts";

it("what one callback writes leaves at once when it has ended", async () => {
  const written: number[] = [];
  const sink = new Writable({
    write: (_chunk, _encoding, done) => {
      written.push(1);
      done();
    },
    writev: (chunks, done) => {
      written.push(chunks.length);
      done();
    },
  });
  for (let i = 0; i < 4; i += 1) {
    corkTurn(sink);
    sink.write("slice");
  }
  expect(written).toEqual([]);
  await new Promise(setImmediate);
  expect(written).toEqual([4]);
  corkTurn(sink);
  sink.end("last");
  expect(written).toEqual([4, 1]);
  await new Promise(setImmediate);
  expect(sink.writableCorked).toBe(0);
});
