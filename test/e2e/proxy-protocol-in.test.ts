import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { forward, type Listener } from "ggrok";
import { describe, expect, it } from "vitest";
import { pace } from "../harness/visitors.ts";
import { TcpWorld, type Visitor } from "./tcp-world.ts";

const V1 = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
const V2 = Buffer.concat([
  Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"),
  Buffer.from("2111000cc0000207c6336402dc0401bb", "hex"),
]);

/** An app that tells where it thinks the visitor is, with a tunnel named `web`. */
class WebTunnel implements AsyncDisposable {
  readonly server: Server;
  readonly agent: Listener;

  private constructor(server: Server, agent: Listener) {
    this.server = server;
    this.agent = agent;
  }

  static async open(world: TcpWorld): Promise<WebTunnel> {
    const server = createServer((req, res) => res.end(`<${String(req.headers["x-forwarded-for"])}>`));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const relay = `http://localhost:${world.relay.port}`;
    return new WebTunnel(server, await forward({ addr: port, relay, url: "web", folder: world.folder }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent.close();
    this.server.close();
    this.server.closeAllConnections();
  }
}

const GET = "GET / HTTP/1.1\r\nHost: web.localhost\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";

async function textOf(visitor: Visitor): Promise<string> {
  return (await visitor.reader.rest()).toString("latin1");
}

describe("the PROXY protocol from a trusted front end", () => {
  it.each([
    ["version 1", Buffer.from(V1), "<192.0.2.1>"],
    ["version 2", V2, "<192.0.2.7>"],
  ])("says who visits, and the visitor's own fields say nothing: %s", async (_name, header, seen) => {
    await using world = await TcpWorld.start({ relay: { proxyProtocol: true } });
    await using _web = await WebTunnel.open(world);
    const visitor = await world.visit(world.relay.port);
    visitor.send(Buffer.concat([header, Buffer.from(GET)]));
    expect(await textOf(visitor)).toContain(seen);
    // Byte for byte, as a slow link would bring it.
    const slow = await world.visit(world.relay.port);
    for (const byte of header) {
      slow.send(Buffer.from([byte]));
      await pace(1);
    }
    slow.send(GET);
    expect(await textOf(slow)).toContain(seen);
  });

  it("may be missing where it speaks for itself", async () => {
    await using world = await TcpWorld.start({ relay: { proxyProtocol: true } });
    await using _web = await WebTunnel.open(world);
    const visitor = await world.say(GET);
    expect(await textOf(visitor)).toContain("<6.6.6.6, 127.0.0.1>");
  });

  it("counts for the rules of a TCP tunnel at its public port, and hides behind no byte of the app", async () => {
    await using world = await TcpWorld.start({
      relay: { proxyProtocol: true },
      agent: { cidrAllow: ["192.0.2.1/32"] },
    });
    const allowed = await world.visit();
    allowed.send(`${V1}hello`);
    const { reader } = await world.service.connection();
    expect((await reader.take(5)).toString()).toBe("hello");
    const refused = await world.visit();
    refused.send(Buffer.concat([V2, Buffer.from("hello")]));
    await refused.ended();
    expect(world.service.accepted).toHaveLength(1);
  });

  it("is not believed when it is broken", async () => {
    await using world = await TcpWorld.start({ relay: { proxyProtocol: true } });
    const visitor = await world.say(`PROXY TCP4 192.0.2.1 nonsense\r\n${GET}`);
    await visitor.ended();
    expect(visitor.reader.pending).toHaveLength(0);
  });
});

describe("the PROXY protocol from anybody else", () => {
  it.each([
    ["where the peer is not trusted", { proxyProtocol: true, trustProxy: "none" }],
    ["where it is not asked for", {}],
  ])("is a malformed request: %s", async (_name, relay) => {
    await using world = await TcpWorld.start({ relay });
    const visitor = await world.say(`${V1}${GET}`);
    expect((await visitor.answer()).status).toBe(400);
  });

  it("is the app's data at a raw port", async () => {
    await using world = await TcpWorld.start();
    const visitor = await world.visit();
    visitor.send(`${V1}hello`);
    const { reader } = await world.service.connection();
    expect((await reader.take(V1.length)).toString()).toBe(V1);
  });
});
