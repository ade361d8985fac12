// Whose a name is: when two want it at once, and when the relay is killed in the middle of saying so.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRelay, type Relay } from "@ggrok/server";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { RelayProcess } from "./cli-world.ts";
import { RawAgent } from "./raw-agent.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "ggrok-owners-"));
});
afterEach(() => {
  rmSync(dataDir, { recursive: true, force: true });
});

type Answer = Record<string, unknown>;

/** Asks the admin API of a relay on this machine; rejects when the relay goes away meanwhile. */
async function api(
  port: number,
  method: string,
  path: string,
  body?: Answer,
): Promise<{ status: number; body: Answer }> {
  const response = await fetch(`http://127.0.0.1:${String(port)}/$$ggrok/api/v1${path}`, {
    method,
    headers: { authorization: "Bearer root", ...(body !== undefined && { "content-type": "application/json" }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Answer) };
}

async function agentOf(port: number, token: string, name: string): Promise<RawAgent> {
  const id = `owner-agent-${name}`;
  const [agent] = await RawAgent.online(
    `http://127.0.0.1:${String(port)}`,
    { agentId: id, instance: id, label: name },
    { token },
  );
  return agent;
}

describe("two owners who ask for one name at the same moment", () => {
  it.each(["at one relay", "at two relays over one store"])("%s: exactly one has it, every time", async (where) => {
    const start = (): Promise<Relay> =>
      createRelay({ bind: "127.0.0.1", domain: "t.example", token: ["alice", "bob"], dataDir });
    const relays = [await start()];
    if (where.includes("two")) relays.push(await start());
    const [first, second = first] = relays;
    const agents = [await agentOf(first?.port ?? 0, "alice", "alice"), await agentOf(second?.port ?? 0, "bob", "bob")];
    const winners = new Set<number>();
    for (let round = 1; round <= 100; round += 1) {
      const url = `name-${String(round)}`;
      // Whoever is asked first is not always the same.
      const order = round % 2 === 0 ? [0, 1] : [1, 0];
      const answers = await Promise.all(
        order.map(async (index) => ({ index, answer: await agents[index]?.bind({ bind: round, url }) })),
      );
      const won = answers.filter(({ answer }) => answer?.type === "bound");
      const lost = answers.filter(({ answer }) => answer?.type === "bind-refused");
      expect([won.length, lost.length], url).toEqual([1, 1]);
      expect(lost[0]?.answer).toMatchObject({ code: "ERR_GGROK_NAME_TAKEN" });
      winners.add(won[0]?.index ?? -1);
    }
    expect(winners.size).toBe(2);
    for (const agent of agents) agent.terminate();
    for (const relay of relays) await relay.destroy();
  });
});

describe("a relay that is killed at any moment", () => {
  const ROUNDS = 10;

  /** Called at each acknowledgement. */
  let onAcknowledged = (): void => {};

  /** What the relay has acknowledged so far. */
  const kept = { tokens: new Set<string>(), revoked: new Set<string>(), owners: new Map<string, string>() };

  /** Changes tokens and reservations without end, and notes what was acknowledged, until the relay is gone. */
  async function change(port: number, round: number): Promise<void> {
    for (let i = 0; ; i += 1) {
      const name = `t-${String(round)}-${String(i)}`;
      const made = await api(port, "POST", "/tokens", { name });
      if (made.status === 201) kept.tokens.add(name);
      onAcknowledged();
      const place = `p-${String(round)}-${String(i)}`;
      const reserved = await api(port, "POST", "/reservations", { name: place, token: name });
      if (reserved.status === 200) kept.owners.set(place, String(reserved.body["owner"]));
      onAcknowledged();
      if (i % 3 !== 0) continue;
      // Asked is not done: until the answer is here the token may be there or not.
      kept.tokens.delete(name);
      const revoked = await api(port, "DELETE", `/tokens/${name}`);
      if (revoked.status === 200) kept.revoked.add(name);
      onAcknowledged();
    }
  }

  /** The same by an agent: a name that is bound is reserved. */
  async function claim(port: number, secret: string, owner: string, round: number): Promise<void> {
    const agent = await agentOf(port, secret, `claims-${String(round)}`);
    for (let i = 1; i < 250; i += 1) {
      const url = `c-${String(round)}-${String(i)}`;
      const answer = await agent.bind({ bind: i, url });
      if (answer.type === "bound") kept.owners.set(url, owner);
      onAcknowledged();
    }
  }

  it("loses no token, no revocation and no reservation that it has acknowledged", { timeout: 120_000 }, async () => {
    const counts = fc.sample(fc.integer({ min: 1, max: 80 }), { numRuns: ROUNDS, seed: Date.now() % 2 ** 31 });
    const args = ["--domain", "localhost", "--data-dir", dataDir, "--admin-token", "root"];
    let relay = await RelayProcess.start(args);
    const { body: claimer } = await api(relay.port, "POST", "/tokens", { name: "claimer" });
    const owner = `token:${String(claimer["id"])}`;
    for (const [round, count] of counts.entries()) {
      const { port, program } = relay;
      let left = count;
      // In the middle of whatever it does next.
      onAcknowledged = () => {
        left -= 1;
        if (left === 0) program.child.kill("SIGKILL");
      };
      const work = [change(port, round), claim(port, String(claimer["secret"]), owner, round)];
      await within("the end of the work", Promise.allSettled(work), 30_000);
      expect(await within("the end of the relay", program.exited)).toBe("SIGKILL");
      relay = await RelayProcess.start(args, port);
      const tokens = (await api(port, "GET", "/tokens")).body["tokens"] as Answer[];
      const names = new Set(tokens.map(({ name }) => String(name)));
      expect([...kept.tokens].filter((name) => !names.has(name))).toEqual([]);
      expect([...kept.revoked].filter((name) => names.has(name))).toEqual([]);
      const reservations = (await api(port, "GET", "/reservations")).body["reservations"] as Answer[];
      const owners = new Map(reservations.map(({ name, owner: whose }) => [String(name), String(whose)]));
      expect([...kept.owners].filter(([name, whose]) => owners.get(name) !== whose)).toEqual([]);
    }
    await relay[Symbol.asyncDispose]();
    expect(kept.tokens.size, "tokens").toBeGreaterThan(ROUNDS);
    expect(kept.revoked.size, "revoked tokens").toBeGreaterThan(0);
    expect(kept.owners.size, "reservations").toBeGreaterThan(ROUNDS);
  });
});
