import { readFileSync } from "node:fs";
import { Place, type Program, RelayProcess } from "../e2e/cli-world.ts";
import { Changes } from "./deadline.ts";
import { FaultApp } from "./fault-app.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { type Answer, ask, type Door, doorOf } from "./visitors.ts";

/** App, relay, agent, and a bad link between the last two when asked for; relay and agent are processes. */
export class FaultWorld implements AsyncDisposable {
  readonly app: FaultApp;
  readonly place: Place;
  readonly link: FaultProxy | undefined;
  readonly name: string;
  relay: RelayProcess;
  agent: Program;
  readonly #relayArgs: readonly string[];
  readonly #agentArgs: readonly string[];
  readonly #others: AsyncDisposable[] = [];

  private constructor(
    o: Pick<FaultWorld, "app" | "place" | "link" | "name" | "relay"> & {
      relayArgs: readonly string[];
      agentArgs: readonly string[];
    },
  ) {
    this.app = o.app;
    this.place = o.place;
    this.link = o.link;
    this.name = o.name;
    this.relay = o.relay;
    this.#relayArgs = o.relayArgs;
    this.#agentArgs = o.agentArgs;
    this.agent = this.#spawnAgent();
  }

  static async start(
    o: {
      name?: string;
      /** Puts a bad link between agent and relay, as bad as this from the first byte. */
      link?: Partial<FaultProxy>;
      relayArgs?: string[];
      agentArgs?: string[];
      env?: NodeJS.ProcessEnv;
    } = {},
  ): Promise<FaultWorld> {
    const relayArgs = ["--domain", "localhost", ...(o.relayArgs ?? [])];
    const relay = await RelayProcess.start(relayArgs);
    const world = new FaultWorld({
      app: await FaultApp.start(),
      place: new Place(o.env),
      link: o.link === undefined ? undefined : Object.assign(await FaultProxy.start(relay.port), o.link),
      name: o.name ?? "fault",
      relay,
      relayArgs,
      agentArgs: o.agentArgs ?? [],
    });
    try {
      await world.agent.event("tunnel.online");
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where visitors go. */
  get door(): Door {
    return doorOf(this.relay.origin.replace("localhost", `${this.name}.localhost`));
  }

  /** The public addresses the agent has announced, without repeats. */
  get urls(): unknown[] {
    return [...new Set(this.agent.events("tunnel.online").map((event) => event["url"]))];
  }

  /** Starts a relay on the port of the one before. */
  async startRelay(): Promise<void> {
    this.#others.push(this.relay);
    this.relay = await RelayProcess.start(this.#relayArgs, this.relay.port);
  }

  /** Starts an agent in the place of the one before and waits until it is online. */
  async startAgent(): Promise<void> {
    this.#others.push(this.agent);
    this.agent = this.#spawnAgent();
    await this.agent.event("tunnel.online");
  }

  /** A further agent for the same app. */
  async addAgent(args: readonly string[]): Promise<Program> {
    const agent = this.#spawnAgent(args);
    this.#others.push(agent);
    await agent.event("tunnel.online");
    return agent;
  }

  ask(path: string, o?: Parameters<typeof ask>[2]): Promise<Answer> {
    return ask(this.door, path, o);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of [this.agent, this.relay, ...this.#others, this.link, this.app, this.place]) {
      await part?.[Symbol.asyncDispose]();
    }
  }

  #spawnAgent(args: readonly string[] = []): Program {
    const { port } = this.link ?? this.relay;
    const url = `http://${this.name}.localhost:${this.relay.port}`;
    const own = ["http", String(this.app.port), "--relay", `http://localhost:${port}`, "--url", url, "--json"];
    return this.place.ggrok([...own, ...this.#agentArgs, ...args]);
  }
}

/** What became of the requests of a load. */
export class Tally {
  readonly changes = new Changes();
  sent = 0;
  /** Number of answers by status, and `broken` for transfers that ended before their answer did. */
  readonly counts: Record<string, number> = {};
  /** Answers that said 200 and were not what was asked for: there must be none, ever. */
  readonly wrong: string[] = [];
  /** Codes of what was refused, to read in a failure. */
  readonly refusals = new Set<string>();
  readonly #pending = new Set<Promise<void>>();

  /** Sends request number `index`; every second one is a POST that must come back as it was sent. */
  send(door: Door, prefix: string, index: number): void {
    this.sent += 1;
    const id = `${prefix}${index}`;
    const isPost = index % 2 === 1;
    const expected = isPost ? `${id} `.repeat(200) : id;
    const call = isPost
      ? ask(door, `/post/${id}`, { method: "POST", body: expected, timeoutMs: 60_000 })
      : ask(door, `/get/${id}`, { timeoutMs: 60_000 });
    const done = call
      .then(
        ({ status, body }) => {
          this.#count(String(status));
          if (status >= 400) this.refusals.add(/ERR_GGROK_\w+/u.exec(body.toString())?.[0] ?? body.toString());
          if (status === 200 && body.toString() !== expected) this.wrong.push(`${id}: ${body.length} bytes`);
        },
        (error: unknown) => {
          const code = error instanceof Error && "code" in error ? String(error.code) : "broken";
          this.#count(code === "ECONNREFUSED" ? "refused" : code === "ABORT_ERR" ? "hung" : "broken");
        },
      )
      .finally(() => {
        this.#pending.delete(done);
        this.changes.notify();
      });
    this.#pending.add(done);
  }

  /** Waits for every answer. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  of(status: string | number): number {
    return this.counts[String(status)] ?? 0;
  }

  toString(): string {
    const codes = [...this.refusals].join(", ") || "none";
    return `${this.sent} sent: ${JSON.stringify(this.counts)}; refused: ${codes}; wrong: ${this.wrong.join(", ") || "none"}`;
  }

  #count(key: string): void {
    this.counts[key] = (this.counts[key] ?? 0) + 1;
  }
}

/** Resident memory of a process in MiB. */
export function rssMiB(pid: number | undefined): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/u.exec(text)?.[1]) / 1_024;
}
