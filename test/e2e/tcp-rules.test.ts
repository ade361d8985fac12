import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRelay, type Relay } from "@ggrok/server";
import { createConnection, type ForwardOptions, forward, type Listener } from "ggrok";
import { describe, expect, it } from "vitest";
import { ByteReader } from "../harness/byte-reader.ts";
import { TcpService } from "./tcp-world.ts";

const TOKEN = "tcp-rules-token";

/** A relay that has only just started, and a service; agents come later. */
class World implements AsyncDisposable {
  readonly relay: Relay;
  readonly service: TcpService;
  readonly folder: string;
  readonly #agents: Listener[] = [];
  readonly #sockets: Socket[] = [];

  private constructor(relay: Relay, service: TcpService, folder: string) {
    this.relay = relay;
    this.service = service;
    this.folder = folder;
  }

  static async start(): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-tcp-rules-"));
    process.env["XDG_STATE_HOME"] = join(folder, "state");
    process.env["XDG_CONFIG_HOME"] = join(folder, "config");
    const relay = await createRelay({ bind: "127.0.0.1", domain: "localhost", token: TOKEN, park: "20s" });
    return new World(relay, await TcpService.start(), folder);
  }

  get origin(): string {
    return `http://localhost:${this.relay.port}`;
  }

  async open(o: Partial<ForwardOptions>, name = "one"): Promise<void> {
    const agent = await forward({
      addr: this.service.port,
      proto: "tcp",
      url: "db",
      relay: this.origin,
      authtoken: TOKEN,
      // An agent of its own for each folder.
      folder: join(this.folder, name),
      ...o,
    });
    this.#agents.push(agent);
  }

  /** Asks for the tunnel by CONNECT. */
  say(): ByteReader {
    const socket = connect(this.relay.port, "127.0.0.1");
    this.#sockets.push(socket);
    socket.on("error", () => {});
    const login = Buffer.from(`:${TOKEN}`).toString("base64");
    socket.write(
      `CONNECT db.localhost:1 HTTP/1.1\r\nHost: db.localhost:1\r\nProxy-Authorization: Basic ${login}\r\n\r\n`,
    );
    return new ByteReader(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.service.cut();
    for (const agent of this.#agents) await agent.close();
    await this.relay.close(500);
    await this.service[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe("whoever waited for a TCP tunnel", () => {
  it("meets its rules when it comes: by CONNECT and by a connector", async () => {
    await using world = await World.start();
    const answer = world.say();
    const dialled = createConnection({ relay: world.origin, name: "db", token: TOKEN });
    const refused = once(dialled, "error");
    await world.open({ cidrDeny: ["127.0.0.0/8"] });
    const head = await answer.head();
    expect(head?.startLine).toContain("403");
    expect(head?.fields).toContainEqual(["ggrok-error", "ERR_GGROK_VISITOR_FORBIDDEN"]);
    expect(String((await refused)[0])).toContain("may not use the tunnel");
    expect(world.service.accepted).toEqual([]);
  });

  it("comes in where they allow it", async () => {
    await using world = await World.start();
    const answer = world.say();
    await world.open({ cidrAllow: ["127.0.0.0/8"] });
    expect((await answer.head())?.startLine).toContain("200");
    await world.service.connection();
  });
});

describe("agents that share a TCP tunnel", () => {
  it("need the same rules, in any order", async () => {
    await using world = await World.start();
    const rules = { poolingEnabled: true, cidrAllow: ["127.0.0.0/8", "10.0.0.0/8"] };
    await world.open(rules);
    const different = world.open({ ...rules, cidrAllow: ["127.0.0.0/8"] }, "two");
    await expect(different).rejects.toMatchObject({ code: "ERR_GGROK_NAME_TAKEN" });
    await expect(world.open({ ...rules, public: true }, "three")).rejects.toThrow(/other rules for visitors/);
    await world.open({ ...rules, cidrAllow: rules.cidrAllow.toReversed() }, "four");
  });
});
