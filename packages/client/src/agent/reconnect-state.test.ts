import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  PHASES,
  type Phase,
  RECONNECT_EVENTS,
  RECONNECT_TABLE,
  type ReconnectEvent,
  type Step,
} from "./reconnect-state.ts";

function run(events: readonly ReconnectEvent[], from: Phase = "idle"): { phase: Phase; actions: string[] } {
  let phase = from;
  const actions: string[] = [];
  for (const event of events) {
    const step = RECONNECT_TABLE[phase][event];
    phase = step.next;
    if (step.action !== "none") actions.push(step.action);
  }
  return { phase, actions };
}

describe("RECONNECT_TABLE", () => {
  it("goes online, loses the link, pauses, and comes back", () => {
    expect(run(["start", "welcomed", "lost", "due", "failed", "due", "welcomed"])).toEqual({
      phase: "online",
      actions: ["dial", "pause", "dial", "pause", "dial"],
    });
  });

  it("dials at once after a wake in a pause, and only asks when online", () => {
    expect(run(["start", "failed", "wake"]).actions).toEqual(["dial", "pause", "dial"]);
    expect(run(["start", "welcomed", "wake"])).toEqual({ phase: "online", actions: ["dial", "probe"] });
  });

  it("moves without losing count when the old session ends first", () => {
    expect(run(["start", "welcomed", "move", "lost", "due", "lost", "welcomed"])).toEqual({
      phase: "online",
      actions: ["dial", "pause", "dial"],
    });
  });

  it("never runs two tries at once, and nothing follows the end", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...RECONNECT_EVENTS)), (events) => {
        let phase: Phase = "idle";
        let isEnded = false;
        for (const event of events) {
          const step: Step = RECONNECT_TABLE[phase][event];
          if (step.action === "dial") expect(phase).not.toBe("dialling");
          if (isEnded) expect(step.action).toBe("none");
          // A pause always has a way out, and "dialling" is entered by dialling only.
          if (step.next === "waiting" && phase !== "waiting") expect(step.action).toBe("pause");
          if (step.next === "dialling" && phase !== "dialling") expect(step.action).toBe("dial");
          isEnded ||= step.action === "end";
          phase = step.next;
        }
        expect(isEnded).toBe(phase === "stopped");
      }),
    );
  });

  it("has a cell for everything", () => {
    for (const phase of PHASES)
      expect(Object.keys(RECONNECT_TABLE[phase]).sort()).toEqual([...RECONNECT_EVENTS].sort());
  });
});
