import { describe, expect, it } from "vitest";
import { GOALS, type Goal, judge, type Measurements } from "./goals.ts";
import { type SmallRun, summariseSmall } from "./small.ts";
import { TargetName } from "./targets.ts";

function run(relay: number, agent: number | undefined, requestsPerSecond: number): SmallRun {
  return {
    requestsPerSecond,
    p50Ms: 1,
    p99Ms: 2,
    maxMs: 3,
    errors: 1,
    busyCores: 2,
    cpuMicrosPerRequest: { relay, ...(agent !== undefined && { agent }) },
    peakRssMiB: { relay: relay * 10, ...(agent !== undefined && { agent }) },
  };
}

const nothing: Measurements = { small: {}, bulk: {} };

describe("goals", () => {
  it("measures nothing where nothing ran", () => {
    expect(judge(nothing).every(({ measured, isMet }) => measured === undefined && isMet === undefined)).toBe(true);
  });

  it("compares the relay with a bare server and both ends with a one-process proxy", () => {
    const small = {
      [TargetName.Ggrok]: { "64": summariseSmall([run(20, 22, 20_000), run(24, 30, 10_000), run(22, 24, 18_000)]) },
      [TargetName.Node]: { "64": summariseSmall([run(16, undefined, 60_000)]) },
      [TargetName.UndiciProxy]: { "64": summariseSmall([run(40, undefined, 24_000)]) },
    };
    const measured = (text: string): number | undefined =>
      judge({ ...nothing, small }).find(({ goal }) => goal.text.startsWith(text))?.measured;
    expect(measured("relay CPU per request / direct node:http")).toBe(22 / 16);
    expect(measured("relay + agent CPU per request / undici proxy")).toBe(46 / 40);
    expect(measured("req/s c=64 / undici proxy")).toBe(18_000 / 24_000);
    expect(measured("errors")).toBe(3);
  });

  it("loosens a target by the margin in the direction that is worse", () => {
    const goal = (relation: Goal["relation"], value: number): Goal => {
      return { text: "", kind: "cpu", relation, target: 100, measure: () => value };
    };
    const isMet = (relation: Goal["relation"], value: number, margin: number): boolean | undefined =>
      judge(nothing, [goal(relation, value)], margin)[0]?.isMet;
    expect(isMet("<=", 124, 0.25)).toBe(true);
    expect(isMet("<=", 126, 0.25)).toBe(false);
    expect(isMet(">=", 76, 0.25)).toBe(true);
    expect(isMet(">=", 74, 0.25)).toBe(false);
    expect(isMet("<=", 101, 0)).toBe(false);
  });

  it("names every goal once", () => {
    expect(new Set(GOALS.map(({ text }) => text)).size).toBe(GOALS.length);
  });
});
