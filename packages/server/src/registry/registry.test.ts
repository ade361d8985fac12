import type { ErrorCode, HttpOpenHead, MuxStream, SessionState, StreamHandler } from "@ggrok/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLogger } from "../observability/logger.ts";
import { MemoryStore } from "../store/memory.ts";
import type { BindOutcome } from "./bind-outcome.ts";
import type { Owner, StreamOpener } from "./endpoint.ts";
import { type BindWish, Registry } from "./registry.ts";
import { Reservations } from "./reservations.ts";
import type { BindRights } from "./rights.ts";

class FakeOpener implements StreamOpener {
  state: SessionState = "open";
  canOpen = true;
  streamCount = 0;
  answersPing = true;
  readonly opened: HttpOpenHead[] = [];

  open(head: HttpOpenHead): MuxStream {
    this.opened.push(head);
    this.streamCount += 1;
    return { id: this.opened.length } as MuxStream;
  }

  ping(): Promise<number> {
    return this.answersPing ? Promise.resolve(1) : Promise.reject(new Error("silent"));
  }
}

class FakeOwner implements Owner {
  readonly principal: string;
  rights: BindRights = { mayBind: () => true, nameGlobs: ["*"], summary: "anything" };
  readonly agentId: string;
  readonly instance: string;
  readonly slot: number;
  readonly session = new FakeOpener();
  readonly origin = { scheme: "http", authority: "t.example:8080" } as const;
  readonly told: [number, ErrorCode, string | undefined][] = [];
  isAway = false;
  isClosed = false;

  constructor(o: { principal?: string; agentId?: string; instance?: string; slot?: number } = {}) {
    this.principal = o.principal ?? "t1";
    this.agentId = o.agentId ?? "a";
    this.instance = o.instance ?? `${this.agentId}-1`;
    this.slot = o.slot ?? 0;
  }

  get label(): string {
    return `label of ${this.instance}`;
  }

  unbound(bind: number, code: ErrorCode, holder: string | undefined): void {
    this.told.push([bind, code, holder]);
  }
}

const HEAD: Omit<HttpOpenHead, "bind"> = {
  kind: "http",
  requestId: "r",
  method: "GET",
  target: "/",
  version: "1.1",
  fields: [],
};
const HANDLER: StreamHandler = { onData: () => true, onTrailers() {}, onReset() {}, onDrain() {} };
const never = new AbortController().signal;
let now = 1_000_000;

function makeRegistry(domain: string | null = "t.example", holdMs = 0): Registry {
  const logger = createLogger({ format: "json", level: "silent" });
  const names = { domain: domain ?? undefined, publicHost: undefined };
  return new Registry({
    names,
    reservations: new Reservations({ store: new MemoryStore(), names, now: () => now }),
    holdMs,
    parkMs: 10_000,
    logger,
    now: () => now,
  });
}

function wish(o: Partial<BindWish> = {}): BindWish {
  return { bind: 1, url: "app", ageMs: 0, claim: undefined, pooling: false, takeover: false, stripPrefix: false, ...o };
}

function urlOf(outcome: BindOutcome): string {
  return "bound" in outcome ? outcome.bound.url : `${outcome.refused.code}: ${outcome.refused.message}`;
}

function open(registry: Registry, host = "app.t.example", target = "/"): MuxStream | undefined {
  return registry.find(host, target)?.open(HEAD, HANDLER, { fin: true });
}

beforeEach(() => {
  now = 1_000_000;
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("binding and finding", () => {
  it("leads a host to the agent that bound it, under the agent's own number", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    expect(urlOf(await registry.bind(owner, wish({ bind: 7 })))).toBe("http://app.t.example:8080");
    expect(open(registry)).toBeDefined();
    expect(owner.session.opened[0]?.bind).toBe(7);
    expect(registry.find("other.t.example", "/")).toBeUndefined();
    expect(registry.find("t.example", "/")).toBeUndefined();
  });

  it("chooses a name nobody guesses and keeps it for the same process", async () => {
    const registry = makeRegistry();
    const first = urlOf(await registry.bind(new FakeOwner(), wish({ url: undefined })));
    expect(first).toMatch(/^http:\/\/[a-z0-9]{10}\.t\.example:8080$/u);
    expect(urlOf(await registry.bind(new FakeOwner(), wish({ url: undefined })))).toBe(first);
    expect(urlOf(await registry.bind(new FakeOwner({ instance: "a-2" }), wish({ url: undefined })))).not.toBe(first);
    expect(registry.endpointCount).toBe(2);
  });

  it("gives every host to an agent without a wish in single-host mode, and longer prefixes to others", async () => {
    const registry = makeRegistry(null);
    const [all, alice, deep] = ["all", "alice", "deep"].map((agentId) => new FakeOwner({ agentId }));
    if (all === undefined || alice === undefined || deep === undefined) throw new Error("three owners");
    await registry.bind(all, wish({ url: undefined }));
    await registry.bind(alice, wish({ url: "https://t.example/alice", stripPrefix: true }));
    await registry.bind(deep, wish({ url: "https://t.example/alice/deep" }));
    for (const [host, target] of [
      ["any.example", "/x"],
      ["t.example", "/alice?q"],
      ["127.0.0.1", "/alice/deep/x"],
      ["t.example", "/alicex"],
    ] as const) {
      open(registry, host, target);
    }
    expect([all, alice, deep].map((owner) => owner.session.opened.length)).toEqual([2, 1, 1]);
    expect(registry.find("t.example", "/alice/x")?.stripPrefix).toBe("/alice");
    expect(registry.find("t.example", "/alice/deep")?.stripPrefix).toBeUndefined();
  });

  it("frees a name at once when it is unbound", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish());
    expect(registry.release(owner, 1)).toBe(true);
    expect(registry.release(owner, 1)).toBe(false);
    expect([registry.find("app.t.example", "/"), registry.endpointCount]).toEqual([undefined, 0]);
    expect(urlOf(await registry.bind(new FakeOwner({ principal: "t2" }), wish()))).toBe("http://app.t.example:8080");
  });

  it("moves a bind number that is used for another name", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish({ url: "one" }));
    await registry.bind(owner, wish({ url: "two" }));
    expect([
      registry.find("one.t.example", "/") === undefined,
      registry.find("two.t.example", "/") === undefined,
    ]).toEqual([true, false]);
  });

  it("tells a process that asked twice for one name which of its numbers lost it", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish({ bind: 1 }));
    await registry.bind(owner, wish({ bind: 2 }));
    expect(owner.told).toEqual([[1, "ERR_GGROK_TAKEN_OVER", owner.label]]);
    expect(registry.release(owner, 1)).toBe(false);
    open(registry);
    expect(owner.session.opened[0]?.bind).toBe(2);
  });

  it("bounds the endpoints of one session", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    for (let bind = 0; bind < 256; bind += 1) await registry.bind(owner, wish({ bind, url: `n${String(bind)}` }));
    expect(urlOf(await registry.bind(owner, wish({ bind: 256, url: "more" })))).toContain("the limit is 256");
    expect(urlOf(await registry.bind(owner, wish({ bind: 3, url: "n3" })))).toBe("http://n3.t.example:8080");
  });
});

describe("ownership", () => {
  it("refuses another token without naming the holder", async () => {
    const registry = makeRegistry();
    await registry.bind(new FakeOwner(), wish());
    const outcome = await registry.bind(new FakeOwner({ principal: "t2", agentId: "b" }), wish({ takeover: true }));
    expect(outcome).toEqual({
      refused: {
        code: "ERR_GGROK_NAME_TAKEN",
        message: "http://app.t.example:8080 belongs to another token",
        holder: undefined,
      },
    });
  });

  it("asks a living holder before another agent is refused, and names it", async () => {
    const registry = makeRegistry();
    const holder = new FakeOwner();
    await registry.bind(holder, wish());
    const outcome = await registry.bind(new FakeOwner({ agentId: "b" }), wish());
    expect(outcome).toMatchObject({ refused: { code: "ERR_GGROK_NAME_TAKEN", holder: holder.label } });
    expect(holder.told).toEqual([]);
  });

  it("takes the name of a holder that does not answer", async () => {
    const registry = makeRegistry();
    const holder = new FakeOwner();
    await registry.bind(holder, wish());
    holder.session.answersPing = false;
    const taker = new FakeOwner({ agentId: "b" });
    expect(urlOf(await registry.bind(taker, wish()))).toBe("http://app.t.example:8080");
    expect(holder.told).toEqual([[1, "ERR_GGROK_TAKEN_OVER", taker.label]]);
    open(registry);
    expect([holder.session.opened.length, taker.session.opened.length]).toEqual([0, 1]);
  });

  it("does not bind for an agent that left while the holder was asked", async () => {
    const registry = makeRegistry();
    const holder = new FakeOwner();
    await registry.bind(holder, wish());
    holder.session.answersPing = false;
    const taker = new FakeOwner({ agentId: "b" });
    const outcome = registry.bind(taker, wish());
    taker.isClosed = true;
    expect(urlOf(await outcome)).toContain("ERR_GGROK_SESSION_LOST");
    expect(holder.told).toEqual([]);
  });

  it("keeps the claim for a new connection of the same process", async () => {
    const registry = makeRegistry();
    const old = new FakeOwner();
    await registry.bind(old, wish({ ageMs: 500 }));
    now += 60_000;
    const next = new FakeOwner();
    expect(await registry.bind(next, wish({ ageMs: 0 }))).toMatchObject({ bound: { claim: 999_500 } });
    expect(old.told).toEqual([]);
    registry.releaseAll(old);
    expect(open(registry)).toBeDefined();
    expect(next.session.opened.length).toBe(1);
  });

  it("tells a stale agent that the name was taken over", async () => {
    const registry = makeRegistry();
    await registry.bind(new FakeOwner({ agentId: "b" }), wish());
    const outcome = await registry.bind(new FakeOwner({ agentId: "a" }), wish({ claim: 5 }));
    expect(outcome).toMatchObject({ refused: { code: "ERR_GGROK_TAKEN_OVER" } });
  });

  it("freezes the holder when supervisors play ping-pong", async () => {
    const registry = makeRegistry();
    const outcomes: string[] = [];
    for (let round = 0; round < 6; round += 1) {
      now += 1_000;
      outcomes.push(
        urlOf(
          await registry.bind(
            new FakeOwner({ agentId: `a${String(round % 2)}`, instance: String(round) }),
            wish({ takeover: true }),
          ),
        ),
      );
    }
    expect(outcomes.filter((outcome) => outcome.startsWith("http"))).toHaveLength(4);
    expect(outcomes[5]).toContain("too often between label of 3 and label of 5");
  });
});

describe("pooling", () => {
  it("opens on the least-loaded session that can take it", async () => {
    const registry = makeRegistry();
    const owners = ["a", "b", "c"].map((agentId) => new FakeOwner({ agentId }));
    for (const owner of owners) await registry.bind(owner, wish({ pooling: true }));
    const [a, b, c] = owners;
    if (a === undefined || b === undefined || c === undefined) throw new Error("three owners");
    a.session.streamCount = 5;
    b.session.streamCount = 3;
    c.session.canOpen = false;
    for (let i = 0; i < 4; i += 1) open(registry);
    expect(owners.map((owner) => owner.session.opened.length)).toEqual([1, 3, 0]);
    registry.releaseAll(a);
    registry.releaseAll(b);
    expect([open(registry), registry.endpointCount]).toEqual([undefined, 1]);
  });
});

describe("parking", () => {
  it("wakes those who wait for an agent that is away when it is back", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish());
    Object.assign(owner.session, { state: "lost", canOpen: false });
    owner.isAway = true;
    expect(open(registry)).toBeUndefined();
    const wait = registry.find("app.t.example", "/")?.park(10, never);
    Object.assign(owner.session, { state: "open", canOpen: true });
    registry.wake(owner);
    expect(await wait).toBe("ready");
  });

  it("wakes them for another agent that takes the name over", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish());
    Object.assign(owner.session, { state: "lost", canOpen: false });
    owner.isAway = true;
    const route = registry.find("app.t.example", "/");
    const wait = route?.park(10, never);
    const next = new FakeOwner({ agentId: "b" });
    await registry.bind(next, wish());
    expect(await wait).toBe("ready");
    expect(route?.open(HEAD, HANDLER, { fin: true })).toBeDefined();
    expect(next.session.opened).toHaveLength(1);
  });

  it("sends them away when the hold is over or their time is", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish());
    Object.assign(owner.session, { state: "lost", canOpen: false });
    const route = registry.find("app.t.example", "/");
    const first = route?.park(10, never);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await first).toBe("offline");
    const second = route?.park(10, never);
    registry.releaseAll(owner);
    expect(await second).toBe("offline");
    expect(await route?.park(10, never)).toBe("offline");
  });

  it("is full, not offline, when the agent is there but has no stream to give", async () => {
    const registry = makeRegistry();
    const owner = new FakeOwner();
    await registry.bind(owner, wish());
    owner.session.canOpen = false;
    expect(await registry.find("app.t.example", "/")?.park(10, never)).toBe("full");
    owner.session.canOpen = true;
    expect(await registry.find("app.t.example", "/")?.park(10, never)).toBe("ready");
  });
});

describe("the hold after the relay's own start", () => {
  it("parks requests for names that may come back, and wakes those whose name did", async () => {
    const registry = makeRegistry("t.example", 30_000);
    expect(registry.find("other.example", "/")).toBeUndefined();
    const app = registry.find("app.t.example", "/")?.park(10, never);
    const other = registry.find("other.t.example", "/")?.park(10, never);
    await registry.bind(new FakeOwner(), wish());
    expect(await app).toBe("ready");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await other).toBe("offline");
  });

  it("ends with the hold time", async () => {
    const registry = makeRegistry("t.example", 30_000);
    now += 25_000;
    const wait = registry.find("app.t.example", "/")?.park(10, never);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await wait).toBe("offline");
    now += 5_000;
    expect(registry.find("app.t.example", "/")).toBeUndefined();
  });
});
