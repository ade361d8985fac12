import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BindRequest, claimOf, decideBind, type Holder, isFrozen, recordChange } from "./ownership.ts";

const ALICE: Holder = {
  principal: "t1",
  agentId: "a",
  instance: "a1",
  claim: 100,
  pooling: false,
  isAway: false,
  answers: undefined,
};

function request(o: Partial<BindRequest>): BindRequest {
  return {
    principal: "t1",
    agentId: "b",
    instance: "b1",
    claim: 200,
    pooling: false,
    returning: false,
    takeover: false,
    ...o,
  };
}

function decide(holder: Partial<Holder>, o: Partial<BindRequest>, changes: number[] = []): string {
  const decision = decideBind({ holders: [{ ...ALICE, ...holder }], changes }, request(o), 1_000);
  if (decision.action === "refuse") return decision.why;
  return decision.action === "take-over"
    ? `${decision.action} ${decision.fromLiving ? "living" : "dead"}`
    : decision.action;
}

describe("decideBind", () => {
  it("gives a free name to whoever asks", () => {
    expect(decideBind(undefined, request({}), 0)).toEqual({ action: "create" });
  });
  it("refuses another token, even while the holder is away", () => {
    expect(decide({ isAway: true }, { principal: "t2", takeover: true })).toBe("other-token");
  });
  it("gives the name to the same instance again, whatever it claims", () => {
    expect(decide({}, { agentId: "a", instance: "a1", claim: 1 })).toBe("rebind");
  });
  it("lets a pool grow", () => {
    expect(decide({ pooling: true }, { pooling: true, claim: 1 })).toBe("join");
  });
  it("refuses a pool beside a single holder and the reverse", () => {
    expect(decide({ pooling: true }, { takeover: true })).toBe("pooling-differs");
    expect(decide({}, { pooling: true, takeover: true })).toBe("pooling-differs");
  });
  it("lets an agent change its own mind about pooling", () => {
    expect(decide({}, { agentId: "a", pooling: true })).toBe("take-over living");
  });
  it("refuses a claim older than the holder's", () => {
    expect(decide({ isAway: true }, { claim: 99, takeover: true, returning: true })).toBe("older-claim");
  });
  it("lets a newer process of the same agent take over at once", () => {
    expect(decide({}, { agentId: "a", instance: "a2" })).toBe("take-over living");
    expect(decide({ isAway: true }, { agentId: "a", instance: "a2" })).toBe("take-over dead");
  });
  it("asks the holder before another agent gets its name", () => {
    expect(decide({}, {})).toBe("probe");
    expect(decide({ answers: false }, {})).toBe("take-over dead");
    expect(decide({ answers: true }, {})).toBe("held");
    expect(decide({ isAway: true }, {})).toBe("take-over dead");
  });
  it("lets a returning newer owner and --takeover displace a living holder", () => {
    expect(decide({ answers: true }, { returning: true })).toBe("take-over living");
    expect(decide({ answers: true }, { takeover: true })).toBe("take-over living");
  });
  it("freezes the holder after three changes within a minute", () => {
    expect(decide({ answers: true }, { takeover: true }, [700, 800])).toBe("take-over living");
    expect(decide({ answers: true }, { takeover: true }, [700, 800, 900])).toBe("frozen");
    expect(decide({}, { agentId: "a", instance: "a2" }, [700, 800, 900])).toBe("frozen");
    expect(decide({ isAway: true }, { takeover: true }, [700, 800, 900])).toBe("take-over dead");
  });
});

describe("isFrozen", () => {
  it("thaws a minute after the last change", () => {
    expect(isFrozen([0, 1_000, 59_000], 118_999)).toBe(true);
    expect(isFrozen([0, 1_000, 59_000], 119_000)).toBe(false);
  });
  it("forgives three changes over a longer time", () => {
    expect(isFrozen([0, 1_000, 60_000], 60_001)).toBe(false);
  });
  it("allows at most three changes in any minute", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 60 }), (gaps) => {
        let now = 0;
        let changes: number[] = [];
        const all: number[] = [];
        for (const gap of gaps) {
          now += gap;
          if (isFrozen(changes, now)) continue;
          changes = recordChange(changes, now);
          all.push(now);
        }
        for (const [i, at] of all.entries())
          expect(all.slice(i).filter((other) => other - at < 60_000).length).toBeLessThanOrEqual(3);
      }),
    );
  });
});

describe("claimOf", () => {
  it("counts from the age and keeps a returned claim", () => {
    expect(claimOf({ ageMs: 400 }, 1_000)).toBe(600);
    expect(claimOf({ ageMs: 0, claim: 123 }, 1_000)).toBe(123);
  });
  it("cuts a claim from a clock that ran ahead", () => {
    expect(claimOf({ ageMs: 0, claim: Number.MAX_SAFE_INTEGER }, 1_000)).toBe(3_601_000);
  });
});

/**
 * A world of agents of one token that want one name, a relay that forgets on restart, and replies that get lost. Agents
 * behave as the agent does: they return their claim, retry when unreachable, stop when taken over or refused.
 */
interface ModelAgent {
  agentId: string;
  instance: string;
  startedAt: number;
  claim: number | undefined;
  state: "wants" | "bound" | "suspended" | "stopped";
}

type Step =
  | { do: "start"; agent: number; takeover: boolean }
  | { do: "suspend" | "wake" | "lose-reply"; pick: number }
  | { do: "restart-relay" }
  | { do: "wait"; ms: number };

class World {
  now = 0;
  readonly agents: ModelAgent[] = [];
  readonly takeover = new Set<string>();
  #holder: ModelAgent | undefined;
  #holderClaim = 0;
  #changes: number[] = [];

  apply(step: Step): void {
    this.now += 1_000;
    if (step.do === "wait") this.now += step.ms;
    if (step.do === "start") this.#start(step.agent, step.takeover);
    if (step.do === "restart-relay") this.#restart();
    if (step.do === "suspend" || step.do === "wake" || step.do === "lose-reply")
      this.#disturb(step.do, this.agents[step.pick % Math.max(1, this.agents.length)]);
    this.#settleOnce();
  }

  /** Everyone awake tries until nothing changes; true when that happened soon enough. */
  settle(): boolean {
    for (const agent of this.agents) if (agent.state === "suspended") agent.state = "wants";
    for (let round = 0; round < 12; round += 1) {
      this.now += 70_000;
      this.#settleOnce();
      if (this.agents.every((agent) => agent.state === "bound" || agent.state === "stopped")) return true;
    }
    return false;
  }

  bound(): ModelAgent[] {
    return this.agents.filter((agent) => agent.state === "bound");
  }

  #start(index: number, takeover: boolean): void {
    const agentId = `agent-${String(index)}`;
    const instance = `${agentId}-${String(this.agents.length)}`;
    if (takeover) this.takeover.add(instance);
    this.agents.push({ agentId, instance, startedAt: this.now, claim: undefined, state: "wants" });
  }

  #restart(): void {
    this.#holder = undefined;
    this.#changes = [];
    for (const agent of this.agents) if (agent.state === "bound") agent.state = "wants";
  }

  #disturb(what: "suspend" | "wake" | "lose-reply", agent: ModelAgent | undefined): void {
    if (agent === undefined || agent.state === "stopped") return;
    if (what === "suspend") agent.state = "suspended";
    else if (what === "wake" && agent.state === "suspended") agent.state = "wants";
    // The relay holds the record, the agent does not know: it binds again from the same process.
    else if (what === "lose-reply" && agent.state === "bound") agent.state = "wants";
  }

  #settleOnce(): void {
    for (const agent of this.agents) if (agent.state === "wants") this.#bind(agent);
  }

  #bind(agent: ModelAgent): void {
    const holder = this.#holder;
    const claim = claimOf(
      { ageMs: this.now - agent.startedAt, ...(agent.claim !== undefined && { claim: agent.claim }) },
      this.now,
    );
    const decision = decideBind(
      holder && {
        changes: this.#changes,
        holders: [
          {
            principal: "t",
            agentId: holder.agentId,
            instance: holder.instance,
            claim: this.#holderClaim,
            pooling: false,
            isAway: holder.state === "suspended" || holder.state === "stopped",
            answers: holder.state === "bound" || holder.state === "wants",
          },
        ],
      },
      {
        principal: "t",
        agentId: agent.agentId,
        instance: agent.instance,
        claim,
        pooling: false,
        returning: agent.claim !== undefined,
        takeover: this.takeover.has(agent.instance),
      },
      this.now,
    );
    if (decision.action === "refuse") {
      agent.state = "stopped";
      return;
    }
    if (decision.action === "take-over") {
      if (decision.fromLiving) this.#changes = recordChange(this.#changes, this.now);
      if (holder !== undefined && holder.state !== "suspended") holder.state = "stopped";
    }
    if (decision.action !== "rebind") this.#holderClaim = claim;
    this.#holder = agent;
    agent.claim = this.#holderClaim;
    agent.state = "bound";
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("start" as const), agent: fc.integer({ min: 0, max: 2 }), takeover: fc.boolean() }),
  fc.record({
    do: fc.constantFrom("suspend" as const, "wake" as const, "lose-reply" as const),
    pick: fc.integer({ min: 0, max: 5 }),
  }),
  fc.record({ do: fc.constant("restart-relay" as const) }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 90_000 }) }),
);

describe("ownership over random histories", () => {
  it("settles with one owner, the newest of those that were not refused, in 100,000 histories", {
    timeout: 120_000,
  }, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 3, maxLength: 24, size: "max" }), (steps) => {
        const world = new World();
        for (const one of steps) world.apply(one);
        if (!world.settle()) throw new Error("never settles");
        const bound = world.bound();
        if (world.agents.length > 0 && bound.length !== 1) throw new Error(`${String(bound.length)} owners`);
        const owner = bound[0];
        // A stopped agent was taken over or refused; among those that ever owned the name none is newer than the owner.
        const newest = Math.max(...world.agents.map((agent) => agent.claim ?? Number.NEGATIVE_INFINITY));
        if (owner !== undefined && (owner.claim ?? 0) < newest) throw new Error("a stale agent owns the name");
      }),
      { numRuns: 100_000, verbose: 1 },
    );
  });
});
