import { expect, it } from "vitest";
import { GgrokError } from "../errors.ts";
import { Fuzzer, fuzzSeed, liveBytes } from "./fuzz.testing.ts";
import { DECODERS, framesOf, type VectorKind } from "./vectors.testing.ts";

const FRAMES = 100_000;
const KINDS = Object.keys(DECODERS).filter((kind) => kind !== "message") as VectorKind[];

it("answers 100,000 random and mutated frames with values or GgrokErrors, and keeps no memory", () => {
  const seed = fuzzSeed();
  const fuzzer = new Fuzzer(seed);
  const outcomes = { read: 0, refused: 0 };
  const attempt = (decode: () => unknown): void => {
    try {
      decode();
      outcomes.read += 1;
    } catch (error) {
      if (!(error instanceof GgrokError)) throw new Error(`seed ${seed}`, { cause: error });
      outcomes.refused += 1;
    }
  };
  // The first tenth warms caches up, so that what is measured is growth with the number of frames.
  let before = 0;
  for (let i = 0; i < FRAMES; i += 1) {
    if (i === FRAMES / 10) before = liveBytes();
    if (i % 2 === 0) attempt(() => framesOf(fuzzer.message()));
    else attempt(() => DECODERS[fuzzer.pick(KINDS)](fuzzer.payload()));
  }
  expect(liveBytes() - before).toBeLessThan(8 * 1024 * 1024);
  // Both ways are taken often: the frames are neither all noise nor all well-formed.
  expect(outcomes.read).toBeGreaterThan(FRAMES / 10);
  expect(outcomes.refused).toBeGreaterThan(FRAMES / 10);
});
