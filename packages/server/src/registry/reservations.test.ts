import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrorCode } from "@ggrok/protocol";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Principal } from "../auth/principal.ts";
import { createLogger } from "../observability/logger.ts";
import { grantSchema } from "../store/grant.ts";
import { MemoryStore } from "../store/memory.ts";
import { SqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import type { BindOutcome } from "./bind-outcome.ts";
import type { Owner } from "./endpoint.ts";
import { Registry } from "./registry.ts";
import { Reservations } from "./reservations.ts";

const DAY = 86_400_000;
const logger = createLogger({ format: "json", level: "silent" });
let now = 1_000_000;

/** A store that claims to survive, without files. */
class LastingStore extends MemoryStore {
  override readonly isDurable: boolean = true;
}

class FakeOwner implements Owner {
  readonly principal: string;
  readonly rights: Principal;
  readonly agentId: string;
  readonly instance: string;
  readonly slot = 0;
  readonly label = "label";
  readonly isAway = false;
  readonly isClosed = false;
  readonly origin = { scheme: "https", authority: "t.example" } as const;
  readonly session = {
    state: "open",
    canOpen: true,
    streamCount: 0,
    open: (): never => {
      throw new Error("not opened here");
    },
    ping: () => Promise.resolve(1),
  } as const;
  readonly told: ErrorCode[] = [];

  constructor(name: string, grant: Parameters<typeof grantSchema.parse>[0] = {}, kind = "token") {
    this.principal = `${kind}:${name}`;
    this.rights = new Principal(this.principal, name, grantSchema.parse(grant));
    this.agentId = name;
    this.instance = `${name}-1`;
  }

  unbound(_bind: number, code: ErrorCode): void {
    this.told.push(code);
  }
}

interface Setup {
  registry: Registry;
  reservations: Reservations;
  store: Store;
}

function setup(store: Store = new LastingStore(), domain: string | null = "t.example", drawName?: () => string): Setup {
  const names = { domain: domain ?? undefined, publicHost: undefined };
  const reservations = new Reservations({ store, names, now: () => now });
  const registry = new Registry({
    names,
    reservations,
    holdMs: 0,
    parkMs: 10_000,
    logger,
    now: () => now,
    ...(drawName !== undefined && { drawName }),
  });
  return { registry, reservations, store };
}

function bind(registry: Registry, owner: Owner, url?: string, number = 1): Promise<BindOutcome> {
  return registry.bind(owner, {
    bind: number,
    url,
    ageMs: 0,
    claim: undefined,
    pooling: false,
    takeover: false,
    stripPrefix: false,
  });
}

async function tell(outcome: Promise<BindOutcome>): Promise<string> {
  const result = await outcome;
  return "bound" in result ? result.bound.url : result.refused.code.replace("ERR_GGROK_", "");
}

beforeEach(() => {
  now = 1_000_000;
});

describe("rights", () => {
  it.each([
    [{}, "app", "https://app.t.example"],
    [{}, "hooks.acme.com", "NAME_NOT_ALLOWED"],
    [{ names: ["hooks.acme.com"] }, "hooks.acme.com", "https://hooks.acme.com"],
    [{ names: ["*.acme.com"] }, "app", "NAME_NOT_ALLOWED"],
    [{ names: ["alice-*"] }, "alice-api", "https://alice-api.t.example"],
    [{ names: ["alice-*"] }, "bob", "NAME_NOT_ALLOWED"],
    [{ names: ["*"], paths: ["/alice/**"] }, "app", "NAME_NOT_ALLOWED"],
    [{ names: ["*"], paths: ["/alice/**"] }, "app/alice/x", "https://app.t.example/alice/x"],
    [{ kinds: ["tcp"] }, "app", "NAME_NOT_ALLOWED"],
    [{ names: ["*.*", "*"] }, "t.example", "NAME_NOT_ALLOWED"],
  ])("of %j decide about %s: %s", async (grant, url, expected) => {
    expect(await tell(bind(setup().registry, new FakeOwner("a", grant), url))).toBe(expected);
  });

  it("bound the paths of a single host", async () => {
    const { registry } = setup(new LastingStore(), null);
    const alice = new FakeOwner("a", { paths: ["/alice/**"] });
    expect(await tell(bind(registry, alice))).toBe("NAME_NOT_ALLOWED");
    expect(await tell(bind(registry, alice, "t.example/alice"))).toBe("https://t.example/alice");
  });

  it.each([
    [{}, /^https:\/\/drawn\.t\.example$/u],
    [{ names: ["alice-*"] }, /^https:\/\/alice-drawn\.t\.example$/u],
    [{ names: ["alice"] }, /^https:\/\/alice\.t\.example$/u],
    [{ names: ["hooks.acme.com"] }, /^https:\/\/hooks\.acme\.com$/u],
    [{ names: ["alice", "bob"] }, /^NAME_NOT_ALLOWED$/u],
    [{ names: ["*.acme.com"] }, /^NAME_NOT_ALLOWED$/u],
  ])("of %j say what an agent gets that asks for nothing", async (grant, expected) => {
    const { registry } = setup(new LastingStore(), "t.example", () => "drawn");
    expect(await tell(bind(registry, new FakeOwner("a", grant)))).toMatch(expected);
  });
});

describe("a claimed name", () => {
  it("belongs to its first owner for thirty days after its last use", async () => {
    const { registry, reservations } = setup();
    const [alice, bob] = [new FakeOwner("alice"), new FakeOwner("bob")];
    await bind(registry, alice, "app");
    now += 40 * DAY;
    reservations.touch(registry.usedPlaces);
    registry.releaseAll(alice);
    now += 30 * DAY - 1;
    expect(await tell(bind(registry, bob, "app"))).toBe("NAME_TAKEN");
    expect(registry.find("app.t.example", "/")).toBeDefined();
    now += 1;
    expect(registry.find("app.t.example", "/")).toBeUndefined();
    expect(await tell(bind(registry, bob, "app"))).toBe("https://app.t.example");
  });

  it("is written down again an hour after the last time, and not before", async () => {
    const { registry, reservations, store } = setup();
    await bind(registry, new FakeOwner("alice"), "app");
    const writtenAt = now;
    now += 3_599_999;
    reservations.touch(registry.usedPlaces);
    expect(store.reservation("app", now)?.lastUsedAt).toBe(writtenAt);
    now += 1;
    reservations.touch(registry.usedPlaces);
    expect(store.reservation("app", now)).toMatchObject({ lastUsedAt: now, expiresAt: now + 30 * DAY });
  });

  it("belongs with all its paths to one owner below a domain", async () => {
    const { registry } = setup();
    const [alice, bob] = [new FakeOwner("alice"), new FakeOwner("bob")];
    await bind(registry, alice, "app/api");
    expect(await tell(bind(registry, bob, "app"))).toBe("NAME_TAKEN");
    registry.releaseAll(alice);
    expect(await tell(bind(registry, bob, "app/other"))).toBe("NAME_TAKEN");
    expect(await tell(bind(registry, alice, "app"))).toBe("https://app.t.example");
  });

  it("belongs with all its paths to one owner without a store too, while it is held", async () => {
    const { registry } = setup(new MemoryStore());
    const [alice, bob] = [new FakeOwner("alice"), new FakeOwner("bob")];
    await bind(registry, alice, "app/api");
    expect(await tell(bind(registry, bob, "app"))).toBe("NAME_TAKEN");
    registry.releaseAll(alice);
    expect(await tell(bind(registry, bob, "app"))).toBe("https://app.t.example");
  });

  it("is a prefix where owners share one host", async () => {
    const single = setup(new LastingStore(), null);
    const [alice, bob] = [new FakeOwner("alice"), new FakeOwner("bob")];
    await bind(single.registry, alice, "t.example/alice");
    single.registry.releaseAll(alice);
    expect(await tell(bind(single.registry, bob, "t.example/alice"))).toBe("NAME_TAKEN");
    expect(await tell(bind(single.registry, bob, "t.example/bob"))).toBe("https://t.example/bob");
    single.registry.releaseAll(bob);
    const known = ["/alice", "/alice/x/y?z", "/alicex", "/", "/bob?alice"];
    expect(known.map((target) => single.registry.find("t.example", target) !== undefined)).toEqual([
      true,
      true,
      false,
      false,
      true,
    ]);
  });

  it("of an anonymous agent is its own for the hold only", async () => {
    const { registry, store } = setup();
    const nobody = new FakeOwner("x", {}, "agent");
    await bind(registry, nobody, "app");
    expect(store.reservations(now)).toEqual([]);
  });

  it("is refused above the number that one token may have, and one that is given back makes room", async () => {
    const { registry, store } = setup();
    const alice = new FakeOwner("alice");
    for (let i = 0; i < 4_096; i += 1) {
      const place = `n${String(i)}`;
      store.reserve({ place, owner: alice.principal, source: "claimed", now, expiresAt: now + DAY });
    }
    expect(await tell(bind(registry, alice, "one-more"))).toBe("LIMIT_REACHED");
    expect(await tell(bind(registry, alice, "n7"))).toBe("https://n7.t.example");
    store.release("n8");
    expect(await tell(bind(registry, alice, "one-more", 2))).toBe("https://one-more.t.example");
  });
});

describe("a name of an agent without a token", () => {
  it("is said to be an agent's and not a token's, with what would be needed to take it over", async () => {
    const { registry } = setup(new MemoryStore());
    await bind(registry, new FakeOwner("first", {}, "agent"), "app");
    const outcome = await bind(registry, new FakeOwner("second", {}, "agent"), "app");
    const message = "refused" in outcome ? outcome.refused.message : "";
    expect(message).toMatch(/^https:\/\/app\.t\.example belongs to another agent, .*--takeover.*one token$/u);
    expect(message).not.toContain("another token");
  });

  it("that the relay chose is said to be kept for an agent", async () => {
    const { registry } = setup(new MemoryStore(), "t.example", () => "drawn");
    const first = new FakeOwner("first", {}, "agent");
    await bind(registry, first);
    registry.releaseAll(first);
    const outcome = await bind(registry, new FakeOwner("second", {}, "agent"), "drawn");
    expect(outcome).toMatchObject({ refused: { message: "https://drawn.t.example is reserved for another agent" } });
  });
});

describe("the operator's word", () => {
  it("keeps a name for an owner without end, and 503 instead of 404 for its visitors", async () => {
    const { registry, store } = setup(new MemoryStore());
    store.reserve({ place: "app", owner: "token:alice", source: "operator", now, expiresAt: undefined });
    now += 400 * DAY;
    expect(registry.find("app.t.example", "/")).toBeDefined();
    expect(await tell(bind(registry, new FakeOwner("bob"), "app"))).toBe("NAME_TAKEN");
    expect(await tell(bind(registry, new FakeOwner("alice"), "app"))).toBe("https://app.t.example");
    expect(store.reservation("app", now)).toMatchObject({ source: "operator", expiresAt: undefined });
  });
});

describe("waiting for a reserved name", () => {
  it("ends when its owner binds it", async () => {
    const { registry, store } = setup();
    store.reserve({ place: "app", owner: "token:alice", source: "operator", now, expiresAt: undefined });
    const waiting = registry.find("app.t.example", "/")?.park(10, new AbortController().signal);
    expect(registry.parking.count).toBe(1);
    await bind(registry, new FakeOwner("alice"), "app");
    expect([await waiting, registry.parking.count]).toEqual(["ready", 0]);
  });
});

describe.each(["memory", "lasting"])("a name of the relay's choice, %s store", (kind) => {
  it("is given to nobody else for a day, by choice or on request, and is its owner's meanwhile", async () => {
    const drawn = ["aaa", "aaa", "aaa", "bbb", "bbb", "aaa"];
    const store = kind === "memory" ? new MemoryStore() : new LastingStore();
    const { registry, reservations } = setup(store, "t.example", () => drawn.shift() ?? "none");
    const [alice, bob, carol] = [new FakeOwner("alice"), new FakeOwner("bob"), new FakeOwner("carol")];
    expect(await tell(bind(registry, alice))).toBe("https://aaa.t.example");
    now += DAY;
    reservations.touch(registry.usedPlaces);
    registry.releaseAll(alice);
    expect(registry.find("aaa.t.example", "/")).toBeUndefined();
    now += DAY - 1;
    expect(await tell(bind(registry, bob))).toBe("https://bbb.t.example");
    expect(await tell(bind(registry, carol, "aaa"))).toBe("NAME_TAKEN");
    expect(await tell(bind(registry, alice, "aaa"))).toBe("https://aaa.t.example");
    registry.releaseAll(alice);
    now += 40 * DAY;
    registry.releaseAll(bob);
    expect(await tell(bind(registry, carol, undefined, 2))).toMatch(/^https:\/\/(?:aaa|bbb)\.t\.example$/u);
  });

  it("has at least forty bits", async () => {
    const { registry } = setup(kind === "memory" ? new MemoryStore() : new LastingStore());
    const name = new URL(await tell(bind(registry, new FakeOwner("alice")))).hostname.split(".")[0] ?? "";
    expect(name).toMatch(/^[a-z0-9]+$/u);
    expect(Math.log2(36) * name.length).toBeGreaterThanOrEqual(40);
  });
});

describe("two owners who want one name", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ggrok-race-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  /** Owners race in any order, at any of several relays over one database, with any pauses: one has the name at each moment. */
  const races = fc.array(
    fc.record({
      owner: fc.integer({ min: 0, max: 3 }),
      relay: fc.integer({ min: 0, max: 1 }),
      act: fc.constantFrom("bind", "bind", "bind", "leave", "wait"),
      name: fc.constantFrom("app", "app/a", "app/b"),
    }),
    { minLength: 2, maxLength: 20 },
  );

  it("never both get it, whatever the order, at one relay or at two with one database", async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(races, async (steps) => {
        round += 1;
        const dir = join(folder, String(round));
        const relays = [setup(new SqliteStore(dir)), setup(new SqliteStore(dir))];
        const owners = relays.map(() => ["a", "b", "c", "d"].map((name) => new FakeOwner(name)));
        const asked: Promise<unknown>[] = [];
        const winners = new Set<string>();
        for (const { owner: index, relay, act, name } of steps) {
          const [at, owner] = [relays[relay], owners[relay]?.[index]];
          if (at === undefined || owner === undefined) continue;
          if (act === "leave") at.registry.releaseAll(owner);
          else if (act === "wait") await Promise.all(asked.splice(0));
          else
            asked.push(
              bind(at.registry, owner, name).then((outcome) => {
                if ("bound" in outcome) winners.add(owner.principal);
              }),
            );
        }
        await Promise.all(asked);
        expect(winners.size).toBeLessThanOrEqual(1);
        const isAsked = steps.some(({ act }) => act === "bind");
        expect(winners.size === 1).toBe(isAsked);
        for (const { store } of relays) store.close();
      }),
      { numRuns: 60 },
    );
  });
});
