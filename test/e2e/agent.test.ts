import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { App, Place, RelayProcess, visit } from "./cli-world.ts";

const hello = (text: string) => App.start((_req, res) => res.end(text));

/** A wire between agent and relay that can be cut and kept cut. */
class Wire implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  isDown = false;
  /** Relay-to-agent bytes after which the next connection is cut, once. */
  cutAfterBytes: number | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number): Promise<Wire> {
    const server = createServer();
    const wire = new Wire(server);
    server.on("connection", (agentSide) => {
      if (wire.isDown) {
        agentSide.resetAndDestroy();
        return;
      }
      const relaySide = connect(port, "127.0.0.1");
      for (const [from, to] of [
        [agentSide, relaySide],
        [relaySide, agentSide],
      ] as const) {
        wire.#sockets.add(from);
        from.on("error", () => {});
        from.on("close", () => {
          wire.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
      const limit = wire.cutAfterBytes;
      if (limit === undefined) return;
      wire.cutAfterBytes = undefined;
      let passed = 0;
      relaySide.prependListener("data", (chunk: Buffer) => {
        passed += chunk.length;
        if (passed >= limit) agentSide.resetAndDestroy();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return wire;
  }

  get origin(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((done) => this.#server.close(done));
  }
}

describe("a broken link", () => {
  it("is carried over: the open download goes on and the address stays", async () => {
    await using relay = await RelayProcess.start();
    await using wire = await Wire.to(relay.port);
    await using place = new Place();
    const half = Promise.withResolvers<void>();
    await using app = await App.start((_req, res) => {
      res.write("first ");
      void half.promise.then(() => res.end("second"));
    });
    await using agent = place.ggrok(["http", "--json", "--relay", wire.origin, "--url", "carry", String(app.port)]);
    await agent.event("tunnel.online");
    const url = `http://carry.localhost:${relay.port}`;
    const answer = visit(url);
    await agent.until("the request", () => app.server.listening);
    await relay.program.until("the link", () => relay.program.stdout.includes("endpoint.bound"));
    wire.cut();
    const again = await agent.event("session.online", 2);
    expect(again["resumed"]).toBe(true);
    half.resolve();
    expect(await answer).toMatchObject({ status: 200, text: "first second" });
    expect(agent.events("tunnel.online")).toHaveLength(2);
    expect(new Set(agent.events("tunnel.online").map((event) => event["url"])).size).toBe(1);
  });

  it("is tried again within a second, and then further apart", async () => {
    await using relay = await RelayProcess.start();
    await using wire = await Wire.to(relay.port);
    await using place = new Place();
    await using agent = place.ggrok(["http", "--json", "--relay", wire.origin, "3000"]);
    await agent.event("tunnel.online");
    wire.isDown = true;
    wire.cut();
    await agent.event("session.reconnecting", 3);
    const delays = agent.events("session.reconnecting").map((event) => Number(event["delayMs"]));
    expect(delays[0]).toBeLessThan(1_000);
    for (const delay of delays) expect(delay).toBeLessThanOrEqual(30_000);
    wire.isDown = false;
    expect((await agent.event("session.online", 2))["resumed"]).toBe(true);
  });
});

describe("a handshake that breaks", () => {
  // The 101, the welcome and the bound of a first connection come to some 700 bytes in all.
  it.each([1, 150, 300, 450, 600, 680, 760])("after %i bytes from the relay costs no name", async (bytes) => {
    await using relay = await RelayProcess.start();
    await using wire = await Wire.to(relay.port);
    wire.cutAfterBytes = bytes;
    await using place = new Place();
    await using agent = place.ggrok(["http", "--json", "--relay", wire.origin, "--url", "mine", "3000"]);
    expect((await agent.event("tunnel.online"))["url"]).toMatch(/^http:\/\/mine\.localhost:/);
    agent.kill();
    expect(await agent.exited).toBe(0);
  });
});

describe("a relay that restarts", () => {
  it("has the agent back under the same name", async () => {
    await using place = new Place();
    await using app = await hello("back");
    const first = await RelayProcess.start();
    await using agent = place.ggrok(["http", "--json", "--relay", first.origin, String(app.port)]);
    const { url } = await agent.event("tunnel.online");
    first.program.kill("SIGKILL");
    await first.program.exited;
    await using second = await RelayProcess.start(undefined, first.port);
    expect((await agent.event("tunnel.online", 2))["url"]).toBe(url);
    expect(second.port).toBe(first.port);
    expect(await visit(String(url))).toMatchObject({ status: 200, text: "back" });
  });

  it("is left in peace: on a drain the open exchange finishes and the agent moves", async () => {
    await using place = new Place();
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    await using app = await App.start((_req, res) => {
      arrived.resolve();
      void gate.promise.then(() => res.end("whole"));
    });
    const first = await RelayProcess.start();
    await using agent = place.ggrok(["http", "--json", "--relay", first.origin, String(app.port)]);
    const { url } = await agent.event("tunnel.online");
    const answer = visit(String(url));
    await arrived.promise;
    first.program.kill("SIGTERM");
    await first.program.event("relay.draining");
    await using second = await RelayProcess.start(undefined, first.port);
    await agent.event("session.online", 2);
    gate.resolve();
    expect(await answer).toMatchObject({ status: 200, text: "whole" });
    expect(await first.program.exited).toBe(0);
    await second.program.event("endpoint.bound");
    expect(agent.events("tunnel.offline")).toEqual([]);
    expect(await visit(String(url))).toMatchObject({ status: 200 });
  });
});

describe("two agents and one name", () => {
  const TOKEN = "tok-1234567890";
  const args = ["--authtoken", TOKEN, "--json", "--url", "shared"];
  const relayArgs = ["--domain", "localhost", "--token", TOKEN];

  it("refuses the second while the first lives, and names the holder", async () => {
    await using relay = await RelayProcess.start(relayArgs);
    await using here = new Place();
    await using there = new Place();
    await using first = here.ggrok(["http", "3000", "--relay", relay.origin, ...args]);
    await first.event("tunnel.online");
    await using second = there.ggrok(["http", "3000", "--relay", relay.origin, ...args]);
    expect(await second.exited).toBe(5);
    expect(second.events("error")).toMatchObject([{ code: "ERR_GGROK_NAME_TAKEN" }]);
    expect(first.child.exitCode).toBeNull();
  });

  it("gives it to the second with --takeover, and the first ends with 5 and does not fight", async () => {
    await using relay = await RelayProcess.start(relayArgs);
    await using here = new Place();
    await using there = new Place();
    await using app = await hello("second");
    await using first = here.ggrok(["http", "3000", "--relay", relay.origin, ...args]);
    await first.event("tunnel.online");
    await using second = there.ggrok(["http", String(app.port), "--takeover", "--relay", relay.origin, ...args]);
    await second.event("tunnel.online");
    expect(await first.exited).toBe(5);
    expect(first.events("tunnel.offline")).toEqual([
      { event: "tunnel.offline", name: "command_line", reason: "taken-over" },
    ]);
    expect((await visit(`http://shared.localhost:${relay.port}`)).text).toBe("second");
  });

  it("gives it to the same folder at once", async () => {
    await using relay = await RelayProcess.start(relayArgs);
    await using here = new Place();
    await using first = here.ggrok(["http", "3000", "--relay", relay.origin, ...args]);
    await first.event("tunnel.online");
    await using second = here.ggrok(["http", "3000", "--relay", relay.origin, ...args]);
    await second.event("tunnel.online");
    expect(await first.exited).toBe(5);
  });

  it("shares it when both pool", async () => {
    await using relay = await RelayProcess.start(relayArgs);
    await using here = new Place();
    await using there = new Place();
    const seen = new Set<string>();
    const slow = (name: string) =>
      App.start((_req, res) => {
        seen.add(name);
        if (seen.size === 2) for (const done of waiting) done();
        else waiting.push(() => res.end(name));
        if (seen.size === 2) res.end(name);
      });
    const waiting: (() => void)[] = [];
    await using a = await slow("a");
    await using b = await slow("b");
    await using first = here.ggrok(["http", String(a.port), "--pooling-enabled", "--relay", relay.origin, ...args]);
    await first.event("tunnel.online");
    await using second = there.ggrok(["http", String(b.port), "--pooling-enabled", "--relay", relay.origin, ...args]);
    await second.event("tunnel.online");
    const url = `http://shared.localhost:${relay.port}`;
    const answers = await Promise.all([visit(url), visit(url)]);
    expect(answers.map((answer) => answer.text).sort()).toEqual(["a", "b"]);
  });
});

describe("in single-host mode", () => {
  it("shares one host by path prefix", async () => {
    await using relay = await RelayProcess.start([]);
    await using here = new Place();
    await using there = new Place();
    await using app = await App.start((req, res) => res.end(`all ${String(req.url)}`));
    await using alice = await App.start((req, res) =>
      res.end(`alice ${String(req.url)} ${String(req.headers["x-forwarded-prefix"])}`),
    );
    await using first = here.ggrok(["http", String(app.port), "--relay", relay.origin]);
    expect(await first.line()).toBe(relay.origin);
    await using second = there.ggrok([
      "http",
      String(alice.port),
      "--strip-prefix",
      "--url",
      `${relay.origin}/alice`,
      "--relay",
      relay.origin,
    ]);
    expect(await second.line()).toBe(`${relay.origin}/alice`);
    expect((await visit(relay.origin, "/x")).text).toBe("all /x");
    expect((await visit(relay.origin, "/alice/x")).text).toBe("alice /x /alice");
  });
});
