import { once } from "node:events";
import { connect } from "node:net";
import { createRelay, type RelayOptions } from "@ggrok/server";
import { describe, expect, it } from "vitest";
import { RELAY_LIMITS } from "../../packages/server/src/limits.ts";
import { within } from "../harness/deadline.ts";
import { get, startIngress } from "./ingress-world.ts";

const NEVER = { perSecond: 0.001, burst: 1_000 };

describe("one address", () => {
  it("that begins more connections than it may has them closed, and others are served", async () => {
    const rateLimits = { connections: { perSecond: 0.001, burst: 3 }, requests: NEVER };
    await using world = await startIngress({ config: { rateLimits } });
    for (let i = 0; i < 3; i += 1) await (await world.visit(get())).until("200 OK");
    const refused = await world.visit(get());
    expect(await refused.untilClosed()).toBe("");
    expect(world.refusedConnections).toBe(1);
    const other = connect({ port: world.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    other.write(get());
    const [answer] = (await within("the other's answer", once(other, "data"))) as [Buffer];
    expect(answer.toString("latin1")).toMatch(/^HTTP\/1\.1 200 /u);
    other.destroy();
  });

  it("behind a trusted front end is told when to come again, by its own address and not the front end's", async () => {
    const rateLimits = { connections: { perSecond: 0.001, burst: 1 }, requests: { perSecond: 0.01, burst: 2 } };
    await using world = await startIngress({ config: { rateLimits }, trustProxy: ["127.0.0.1/32"] });
    const ask = async (client: string, more = ""): Promise<string> => {
      const visitor = await world.visit(get("/", `X-Forwarded-For: ${client}\r\nConnection: close\r\n${more}`));
      return visitor.untilClosed();
    };
    for (let i = 0; i < 2; i += 1) expect(await ask("203.0.113.7")).toMatch(/^HTTP\/1\.1 200 /u);
    const refused = await ask("203.0.113.7");
    expect(refused).toMatch(/^HTTP\/1\.1 429 /u);
    expect(refused).toMatch(/ggrok-error: ERR_GGROK_VISITOR_RATE_LIMITED\r\n[\s\S]*Retry-After: \d+\r\n/u);
    expect(await ask("6.6.6.6, 203.0.113.7")).toMatch(/^HTTP\/1\.1 429 /u);
    const upgrade = await world.visit(
      "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    );
    expect(await upgrade.untilClosed()).toMatch(/^HTTP\/1\.1 429 [\s\S]*Retry-After/u);
    const tunnel = await world.visit(
      "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n",
    );
    expect(await tunnel.untilClosed()).toMatch(/^HTTP\/1\.1 429 /u);
    expect(await ask("203.0.113.8")).toMatch(/^HTTP\/1\.1 200 /u);
    expect(world.exchanges).toHaveLength(3);
    expect(world.refusedConnections).toBe(0);
  });
});

it.each<[string, RelayOptions, string]>([
  ["its connections", { trustProxy: "none" }, ""],
  ["the PROXY protocol", { proxyProtocol: true }, "PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n"],
])("a relay closes connections above its own limit of one address, known by %s", async (_how, options, first) => {
  await using relay = await createRelay({ bind: "127.0.0.1", token: "agent", adminToken: "root", ...options });
  const attempts = RELAY_LIMITS.connectionBurst * 4;
  let refused = 0;
  // One after the other in small groups: what is admitted is closed again, so that only the rate is reached.
  for (let begun = 0; begun < attempts && refused === 0; begun += 50) {
    const group = Array.from({ length: 50 }, async () => {
      const socket = connect({ port: relay.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      socket.write(first);
      socket.write("GET /$$ggrok/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
      });
      await within("the end of a connection", new Promise((resolve) => socket.once("close", resolve)));
      if (text === "") refused += 1;
    });
    await Promise.all(group);
  }
  expect(refused).toBeGreaterThan(0);
  // The operator comes from elsewhere.
  const operator = connect({ port: relay.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
  operator.end("GET /$$ggrok/metrics HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer root\r\n\r\n");
  let text = "";
  operator.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  await within("the metrics", once(operator, "close"));
  const [, count] = /^ggrok_ingress_connections_refused_total (\d+)$/mu.exec(text) ?? [];
  expect(Number(count)).toBeGreaterThanOrEqual(refused);
});
