import { once } from "node:events";
import { type Agent, get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PROXY_LIMITS } from "../../packages/client/src/proxy/limits.ts";
import { ConnectionPool } from "../../packages/client/src/proxy/pool.ts";
import { DEADLINE_MS, eventually } from "../harness/deadline.ts";
import { ProxyWorld } from "./proxy-world.ts";

let world: ProxyWorld;
let port: number;
let now = 0;
let opened = 0;
let pool: ConnectionPool;

beforeEach(async () => {
  world = new ProxyWorld();
  now = 1_000_000;
  opened = 0;
  const { server, port: bound } = await world.http((_request, response) => response.end("ok"));
  // The origin keeps connections for longer than the pool does.
  server.keepAliveTimeout = 600_000;
  port = bound;
  pool = new ConnectionPool(
    async (to) => {
      opened += 1;
      const socket = connect(to);
      await once(socket, "connect");
      return socket;
    },
    () => now,
  );
  world.onEnd(() => pool.destroy());
});
afterEach(() => world[Symbol.asyncDispose]());

/** One exchange; `host` is only a name for the pool. */
async function exchange(agent: Agent, host = "127.0.0.1"): Promise<void> {
  const request = get({ agent, host, port });
  const [response] = (await once(request, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [
    IncomingMessage,
  ];
  await once(response.resume(), "close");
}

function idle(...agents: Agent[]): number {
  return agents.flatMap((agent) => Object.values(agent.freeSockets)).flat().length;
}

describe("the pool", () => {
  it("uses a kept connection again, until it is too old", async () => {
    const agent = pool.agentFor("direct");
    for (let i = 0; i < 3; i += 1) await exchange(agent);
    expect(opened).toBe(1);
    now += PROXY_LIMITS.CONNECTION_AGE_MS;
    // The exchange during which it comes of age is its last.
    await exchange(agent);
    expect(opened).toBe(1);
    await exchange(agent);
    expect(opened).toBe(2);
  });

  it("keeps a bounded number of idle connections to one destination, and in all", async () => {
    const agents = Array.from({ length: 12 }, (_none, index) => pool.agentFor(`route ${index}`));
    const { IDLE_CONNECTIONS_PER_ROUTE_MAX: perRoute, IDLE_CONNECTIONS_MAX: most } = PROXY_LIMITS;
    const [first] = agents;
    if (first === undefined) throw new Error("no route");
    await Promise.all(Array.from({ length: perRoute + 8 }, () => exchange(first)));
    expect(opened).toBe(perRoute + 8);
    expect(idle(first)).toBe(perRoute);
    for (const agent of agents) await Promise.all(Array.from({ length: perRoute }, () => exchange(agent)));
    expect(idle(...agents)).toBeLessThanOrEqual(most);
    expect(idle(...agents)).toBeGreaterThan(most / 2);
  });

  it("closes what nobody has used for a while", async () => {
    const agent = pool.agentFor("direct");
    await exchange(agent);
    expect(idle(agent)).toBe(1);
    await eventually(
      () => "the idle connection to be closed",
      () => idle(agent) === 0,
    );
  });

  it("tells one route from another", async () => {
    await exchange(pool.agentFor("direct"));
    await exchange(pool.agentFor("http://proxy.example:3128"));
    expect(opened).toBe(2);
  });
});
