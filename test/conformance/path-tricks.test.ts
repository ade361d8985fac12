// Names cannot be shadowed: a request goes where its bytes say, and the relay's own paths and hosts are nobody else's.
import { decodeMessage, encodeResponseHead, FLAG_FIN, FrameType } from "@ggrok/protocol";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawAgent } from "../e2e/raw-agent.ts";
import { valuesOf } from "../harness/byte-reader.ts";
import { RawClient } from "../harness/raw-client.ts";

/** A relay whose agents say who was asked, and for what. */
class NameWorld implements AsyncDisposable {
  readonly relay: Relay;
  readonly #agents: RawAgent[] = [];

  private constructor(relay: Relay) {
    this.relay = relay;
  }

  static async start(options: RelayOptions, names: Readonly<Record<string, string | undefined>>): Promise<NameWorld> {
    const world = new NameWorld(
      await createRelay({ bind: "127.0.0.1", token: "good", adminToken: "root", park: "0s", hold: "0s", ...options }),
    );
    for (const [name, url] of Object.entries(names)) {
      const agent = await world.agent(name);
      expect((await agent.bind(url === undefined ? {} : { url })).type).toBe("bound");
      void answerAll(agent, name);
    }
    return world;
  }

  async agent(name: string): Promise<RawAgent> {
    const id = `${name}-${String(this.#agents.length)}`;
    const [agent] = await RawAgent.online(
      `http://localhost:${String(this.relay.port)}`,
      { agentId: `path-agent-${id}`, instance: `path-instance-${id}` },
      { token: "good" },
    );
    this.#agents.push(agent);
    return agent;
  }

  /** Who answers: an agent, with the target it saw, or the relay with a status. */
  async owner(host: string, target = "/"): Promise<string> {
    await using visitor = await RawClient.connect(this.relay.port, {
      first: `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    });
    const answer = await visitor.answer();
    if (answer === undefined) return "nobody";
    const [name] = valuesOf(answer.fields, "x-owner");
    return name === undefined
      ? `relay ${String(answer.status)}`
      : `${name} ${String(valuesOf(answer.fields, "x-seen"))}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) agent.terminate();
    await this.relay.destroy();
  }
}

async function answerAll(agent: RawAgent, name: string): Promise<void> {
  // Whoever wants its name is told that it lives.
  const pong = (type: number, payload: Buffer): void => {
    if (type === FrameType.Ping) agent.frame(FrameType.Pong, 0, 0, Buffer.from(payload));
  };
  for (const { type, payload } of agent.frames) pong(type, payload);
  agent.ws.on("message", (message) =>
    decodeMessage(message as Buffer, (type, _f, _id, payload) => pong(type, payload)),
  );
  while (agent.ws.readyState === agent.ws.OPEN) {
    const opened = await agent.opened().catch(() => undefined);
    if (opened === undefined || opened.head.kind === "tcp") continue;
    const fields = ["X-Owner", name, "X-Seen", opened.head.target, "Content-Length", "0"];
    agent.frame(FrameType.Head, FLAG_FIN, opened.id, encodeResponseHead({ status: 200, reason: "OK", fields }));
  }
}

describe("where paths are names, a path that could be read as another", () => {
  let world: NameWorld;
  beforeAll(async () => {
    const names = { root: undefined, alice: "http://localhost/alice", bob: "http://localhost/bob" };
    world = await NameWorld.start({}, names);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it.each([
    ["/alice", "alice"],
    ["/alice/", "alice"],
    ["/alice/x?y=/bob", "alice"],
    ["/alice/../bob", "alice"],
    ["/alice/%2e%2e/bob", "alice"],
    ["/alice/..%2fbob", "alice"],
    ["/alice//bob", "alice"],
    ["/alice?/bob", "alice"],
    ["/bob/../alice", "bob"],
    ["/alicex", "root"],
    ["/alice%2fx", "root"],
    ["/alice;x", "root"],
    ["/%61lice", "root"],
    ["/ALICE", "root"],
    ["//alice", "root"],
    ["/./alice", "root"],
    ["/x/../alice", "root"],
    ["/x/%2e%2e/alice", "root"],
  ])("%s goes to %s, unchanged", async (target, owner) => {
    expect(await world.owner("relay.example", target)).toBe(`${owner} ${target}`);
  });

  it.each(["//$$ggrok/metrics", "/./$$ggrok/metrics", "/x/../$$ggrok/metrics", "/%24%24ggrok/metrics", "/$$ggrokx"])(
    "%s is not the relay's own path",
    async (target) => {
      expect(await world.owner("relay.example", target)).toBe(`root ${target}`);
    },
  );

  it.each(["/$$ggrok", "/$$ggrok/x", "/%2e%2e/bob", "/../bob", "//bob", "/a/../bob", "/a b", "/a?b"])(
    "%s cannot be claimed",
    async (prefix) => {
      const agent = await world.agent("claims");
      expect(await agent.bind({ url: `http://localhost${prefix}` })).toMatchObject({
        type: "bind-refused",
        code: "ERR_GGROK_NAME_NOT_ALLOWED",
      });
    },
  );
});

describe("where hosts are names", () => {
  let world: NameWorld;
  beforeAll(async () => {
    const options = { domain: "t.example", publicUrl: "https://public.example" };
    world = await NameWorld.start(options, { app: "app", apple: "apple", idn: "xn--bcher-kva" });
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it.each([
    ["app.t.example", "app /"],
    ["APP.T.EXAMPLE", "app /"],
    ["app.t.example.", "app /"],
    ["app.t.example:65535", "app /"],
    ["app.t.example.:80", "app /"],
    ["xn--bcher-kva.t.example", "idn /"],
    ["XN--BCHER-KVA.t.example", "idn /"],
    ["app.t.example..", "relay 400"],
    ["app.t.example:", "app /"],
    ["b\u00fccher.t.example", "relay 400"],
    ["app.t.example:80:80", "relay 400"],
    ["app%2et.example", "relay 400"],
    ["app\\.t.example", "relay 400"],
    ["[app.t.example]", "relay 400"],
    ["[::1%25app]", "relay 400"],
    ["a_pp.t.example", "relay 404"],
    ["app_.t.example", "relay 404"],
    ["x.app.t.example", "relay 404"],
    ["app.t.example.evil.example", "relay 404"],
    ["appt.example", "relay 404"],
    ["app.t.examplex", "relay 404"],
    ["app", "relay 404"],
    ["ap.t.example", "relay 404"],
    ["t.example", "relay 404"],
    ["public.example", "relay 404"],
    ["[::1]", "relay 404"],
    ["[::ffff:127.0.0.1]:80", "relay 404"],
    ["127.0.0.1", "relay 404"],
    ["0x7f.1", "relay 404"],
  ])("%s is %s", async (host, owner) => {
    expect(await world.owner(host)).toBe(owner);
  });

  it.each([
    "t.example",
    "T.EXAMPLE.",
    "https://t.example",
    "public.example",
    "127.0.0.1",
    "[::1]",
    "https://[::1]:443",
    "x.app.t.example",
    "b\u00fccher",
    "a_b",
    "-a",
    "app.t.example@evil.example",
    "*",
    "*.t.example",
    "..",
  ])("%s cannot be claimed", async (url) => {
    const agent = await world.agent("claims");
    expect(await agent.bind({ url })).toMatchObject({ type: "bind-refused", code: "ERR_GGROK_NAME_NOT_ALLOWED" });
  });

  it.each(["APP", "app.t.example.", "http://app.t.example:8080", "https://App.T.Example/"])(
    "%s, a held name in another spelling, cannot be had by another agent",
    async (url) => {
      const agent = await world.agent("wants");
      expect(await agent.bind({ url })).toMatchObject({ type: "bind-refused", code: "ERR_GGROK_NAME_TAKEN" });
    },
  );
});
