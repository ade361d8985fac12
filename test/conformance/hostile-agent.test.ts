// Agents with a good token that use what they may do against the relay: they hurt themselves alone.
import type { Socket } from "node:net";
import { encodeReset, encodeU48, FLAG_FIN, FrameType, LIMITS, ResetCode } from "@ggrok/protocol";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RELAY_LIMITS } from "../../packages/server/src/limits.ts";
import { RawAgent } from "../e2e/raw-agent.ts";
import { within } from "../harness/deadline.ts";
import { FaultWorld, rssMiB } from "../harness/fault-world.ts";
import { frameOf } from "../harness/hostile-relay.ts";
import { RawClient } from "../harness/raw-client.ts";
import { closeVisitors } from "../harness/visitors.ts";

/** What one of these may make a relay that has just started grow by: its heap finds its size in the first of them. */
const MIB_ALLOWED = 100;

let world: FaultWorld;
let rss: number;
const agents: RawAgent[] = [];
const visitors: RawClient[] = [];
beforeAll(async () => {
  world = await FaultWorld.start({ name: "good", relayArgs: ["--park", "300ms", "--hold", "1s"] });
});
beforeEach(() => {
  rss = rssMiB(world.relay.program.child.pid);
});
afterEach(() => {
  for (const visitor of visitors.splice(0)) visitor.reset();
  for (const agent of agents.splice(0)) agent.terminate();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  closeVisitors();
});

/** The relay lives and has not grown, and whoever did nothing wrong is served by the session it always had. */
async function expectUnharmed(): Promise<void> {
  expect(world.relay.program.child.exitCode, world.relay.program.stderr).toBeNull();
  const answer = await within("a good request", world.ask("/"), 20_000);
  expect(answer.status).toBe(200);
  expect(world.agent.events("session.online")).toHaveLength(1);
  expect(rssMiB(world.relay.program.child.pid) - rss, "MiB grown").toBeLessThan(MIB_ALLOWED);
}

let count = 0;
async function online(): Promise<RawAgent> {
  count += 1;
  const [agent] = await RawAgent.online(world.relay.origin, {
    agentId: `hostile-agent-${String(count)}`,
    instance: `hostile-instance-${String(count)}`,
    label: `hostile ${String(count)}`,
    maxStreams: LIMITS.STREAMS_MAX,
  });
  agents.push(agent);
  return agent;
}

/** The same with a name of its own, and the value of Host that leads there. */
async function published(): Promise<{ agent: RawAgent; host: string }> {
  const agent = await online();
  const bound = await agent.bind({ url: `hostile${String(count)}` });
  if (bound.type !== "bound") throw new Error(bound.message);
  return { agent, host: new URL(bound.url).host };
}

async function visit(first: string): Promise<RawClient> {
  const visitor = await RawClient.connect(world.relay.port, { first });
  visitors.push(visitor);
  return visitor;
}

/** Stops taking what the relay sends; the kernel's buffers fill up. */
function stopReading(agent: RawAgent): void {
  (agent.ws as unknown as { _socket: Socket })._socket.pause();
}

/** Sends the same messages on and on until the relay has had enough. */
async function flood(agent: RawAgent, makeBatch: (round: number) => Buffer[], rounds: number): Promise<void> {
  for (let round = 0; round < rounds && agent.ws.readyState === agent.ws.OPEN; round += 1) {
    for (const message of makeBatch(round)) agent.ws.send(message);
    await new Promise<void>((resolve) => agent.ws.send(frameOf(FrameType.Ack, 0, 0, encodeU48(0)), () => resolve()));
  }
}

function bindFrame(bind: number, url: string): Buffer {
  const message = { type: "bind", bind, kind: "http", ageMs: 0, url };
  return frameOf(FrameType.Control, 0, 0, Buffer.from(JSON.stringify(message)));
}

describe("an agent that binds on and on", () => {
  it("gets as many names as a session may have, and hears why not more", async () => {
    const agent = await online();
    const { maxEndpointsPerSession } = RELAY_LIMITS;
    for (let bind = 1; bind <= maxEndpointsPerSession; bind += 1) {
      const answer = await agent.bind({ bind, url: `many-${String(count)}-${String(bind)}` });
      expect(answer.type).toBe("bound");
    }
    expect(await agent.bind({ bind: 1_000, url: `many-${String(count)}-more` })).toMatchObject({
      type: "bind-refused",
      code: "ERR_GGROK_LIMIT_REACHED",
      message: expect.stringContaining(String(maxEndpointsPerSession)),
    });
    await expectUnharmed();
  });

  it.each(["reads the answers", "does not read the answers"])(
    "and %s loses its session",
    { timeout: 60_000 },
    async (how) => {
      const agent = await online();
      if (how.includes("not")) stopReading(agent);
      const batch = (round: number): Buffer[] =>
        Array.from({ length: 100 }, (_, i) => bindFrame(round * 100 + i + 1, `x${"a".repeat(2_000)}`));
      const flooding = flood(agent, batch, 300);
      for (let i = 0; i < 5; i += 1) await expectUnharmed();
      await within("the end of the flood", flooding, 30_000);
      if (!how.includes("not")) expect((await within("the end", agent.closed, 20_000)).code).toBe(4429);
      else await loggedEnd(`hostile ${String(count)}`, "ERR_GGROK_FLOOD");
      await expectUnharmed();
    },
  );

  it("and gives names back as fast loses its session, and every name", { timeout: 60_000 }, async () => {
    const agent = await online();
    const name = `back${String(count)}`;
    const unbind = frameOf(FrameType.Control, 0, 0, Buffer.from('{"type":"unbind","bind":1}'));
    const batch = (): Buffer[] => Array.from({ length: 50 }, () => [bindFrame(1, name), unbind]).flat();
    await flood(agent, batch, 300);
    expect((await within("the end", agent.closed, 20_000)).code).toBe(4429);
    await expectUnharmed();
    const next = await online();
    let answer = await next.bind({ url: name });
    const deadline = performance.now() + 10_000;
    while (answer.type !== "bound" && performance.now() < deadline) answer = await next.bind({ url: name });
    expect(answer.type).toBe("bound");
  });
});

describe("an agent that does not read", () => {
  it("costs its visitors their uploads, and nobody else anything", { timeout: 60_000 }, async () => {
    const { agent, host } = await published();
    stopReading(agent);
    const part = Buffer.alloc(1_048_576, 0x61);
    const uploads = await Promise.all(
      Array.from({ length: 50 }, () => visit(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000000\r\n\r\n`)),
    );
    for (const visitor of uploads) for (let i = 0; i < 4; i += 1) visitor.socket.write(part);
    for (let i = 0; i < 5; i += 1) await expectUnharmed();
    // A heartbeat later it is lost, and what was its is given up.
    const answers = await Promise.all(uploads.map((visitor) => visitor.answer("POST", 30_000)));
    expect(answers.map((answer) => answer?.status).filter((status) => status !== 502 && status !== 503)).toEqual([]);
    await expectUnharmed();
  });

  it("is not sent large heads without end", { timeout: 60_000 }, async () => {
    const { agent, host } = await published();
    stopReading(agent);
    const filler = Array.from({ length: 3 }, (_, i) => `X-${String(i)}: ${"a".repeat(8_000)}\r\n`).join("");
    await Promise.all(Array.from({ length: 500 }, () => visit(`GET / HTTP/1.1\r\nHost: ${host}\r\n${filler}\r\n`)));
    for (let i = 0; i < 5; i += 1) await expectUnharmed();
  });
});

describe("an agent that resets", () => {
  it("every stream at once costs its visitors a 502 each", { timeout: 60_000 }, async () => {
    const { agent, host } = await published();
    let isOver = false;
    const resetting = (async () => {
      while (!isOver) {
        const { id } = await agent.opened();
        agent.ws.send(frameOf(FrameType.Reset, 0, id, encodeReset(ResetCode.UpstreamReset, 0, "no")));
      }
    })().catch(() => {});
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const visitor = await visit(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
          return visitor.answer("GET", 20_000);
        }),
      );
      expect(answers.map((answer) => answer?.status)).toEqual(answers.map(() => 502));
    }
    await expectUnharmed();
    isOver = true;
    agent.terminate();
    await resetting;
  });

  it("streams that have long ended is not listened to", async () => {
    const { agent, host } = await published();
    const visitor = await visit(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const { id } = await agent.opened();
    agent.ws.send(frameOf(FrameType.Head, FLAG_FIN, id, Buffer.from('[204,"",[]]')));
    expect((await visitor.answer())?.status).toBe(204);
    const late = Buffer.concat(
      Array.from({ length: 5_000 }, () => frameOf(FrameType.Reset, 0, id, encodeReset(ResetCode.UpstreamReset, 0, ""))),
    );
    for (let from = 0; from < late.length; from += 100 * 13)
      agent.ws.send(late.subarray(from, Math.min(late.length, from + 100 * 13)));
    await expectUnharmed();
    visitor.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const next = await agent.opened();
    expect(next.id).not.toBe(id);
  });
});

it("an agent that answers under the id of another's exchange reaches nobody's visitor", async () => {
  const [first, second] = [await published(), await published()];
  const visitor = await visit(`GET / HTTP/1.1\r\nHost: ${first.host}\r\n\r\n`);
  const { id } = await first.agent.opened();
  second.agent.ws.send(frameOf(FrameType.Head, FLAG_FIN, id, Buffer.from('[200,"",["X-From","second"]]')));
  expect((await within("the end of the second", second.agent.closed)).code).toBe(1002);
  first.agent.ws.send(frameOf(FrameType.Head, FLAG_FIN, id, Buffer.from('[200,"",["X-From","first"]]')));
  const answer = await visitor.answer();
  expect(answer?.fields.find(([name]) => name.toLowerCase() === "x-from")?.[1]).toBe("first");
  await expectUnharmed();
});

/** Waits until the relay has logged that the session of an agent has ended, and why. */
async function loggedEnd(agent: string, code: string): Promise<void> {
  await world.relay.program.until(`the end of ${agent} with ${code}`, () =>
    world.relay.program.events("session.closed").some((event) => event["agent"] === agent && event["code"] === code),
  );
}
