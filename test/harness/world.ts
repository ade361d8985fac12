import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { type ForwardOptions, forward, type Listener } from "ggrok";
import { eventually } from "./deadline.ts";
import { type RawAnswer, RawClient } from "./raw-client.ts";
import { RawOrigin } from "./raw-origin.ts";

/** What keeps a process alive and must be gone after a test. */
const COUNTED = ["TCPSocketWrap", "TCPServerWrap", "Timeout"];

/** A relay, an agent and an app of bytes in this process. */
export class World implements AsyncDisposable {
  readonly relay: Relay;
  readonly agent: Listener;
  readonly origin: RawOrigin;
  /** Value of the Host field under which the app is reached. */
  readonly host: string;
  readonly folder: string;
  readonly #before: Record<string, number>;
  readonly #visitors: RawClient[] = [];

  constructor(o: { relay: Relay; agent: Listener; origin: RawOrigin; folder: string; before: Record<string, number> }) {
    this.relay = o.relay;
    this.agent = o.agent;
    this.origin = o.origin;
    this.folder = o.folder;
    this.#before = o.before;
    this.host = new URL(o.agent.url()).host;
  }

  /** A visitor's connection, ended with the world. */
  async visit(first?: string | Buffer): Promise<RawClient> {
    const visitor = await RawClient.connect(this.relay.port, first === undefined ? {} : { first });
    this.#visitors.push(visitor);
    return visitor;
  }

  /** A request's head, with the Host field and the end of the head. */
  head(startLine: string, ...lines: string[]): string {
    return `${[startLine, `Host: ${this.host}`, ...lines].join("\r\n")}\r\n\r\n`;
  }

  /** One request on a connection of its own. */
  async ask(request: string | Buffer, method?: string): Promise<RawAnswer> {
    const visitor = await this.visit(request);
    const answer = await visitor.answer(method);
    await visitor[Symbol.asyncDispose]();
    if (answer === undefined) throw new Error(`no answer; the connection ended with ${visitor.reader.end}`);
    return answer;
  }

  /** Fails unless an ordinary request on a new connection works. @returns how many requests the app saw before it */
  async expectGood(): Promise<number> {
    const before = this.origin.requests.length;
    const { script } = this.origin;
    this.origin.script = undefined;
    const answer = await this.ask(this.head("GET /good HTTP/1.1"));
    this.origin.script = script;
    if (answer.status !== 200)
      throw new Error(`the next good request got ${answer.status}: ${answer.bytes.toString()}`);
    const index = this.origin.requests.findIndex(({ target }, at) => at >= before && target === "/good");
    if (index < 0) throw new Error("the good request was not answered by the app");
    return index;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const visitor of this.#visitors) await visitor[Symbol.asyncDispose]();
    await this.agent.close();
    await this.relay.close(1_000);
    await this.origin[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
    await expectNothingLeft(this.#before);
  }
}

/** Starts the three, in wildcard mode with the app at `app.localhost`. */
export async function startWorld(o: { relay?: RelayOptions; agent?: Partial<ForwardOptions> } = {}): Promise<World> {
  const before = countResources();
  const folder = mkdtempSync(join(tmpdir(), "ggrok-world-"));
  process.env["XDG_STATE_HOME"] = join(folder, "state");
  process.env["XDG_CONFIG_HOME"] = join(folder, "config");
  const origin = await RawOrigin.start();
  const relay = await createRelay({ bind: "127.0.0.1", domain: "localhost", ...o.relay });
  const agent = await forward({
    addr: `127.0.0.1:${origin.port}`,
    relay: `http://localhost:${relay.port}`,
    url: "app",
    folder,
    ...o.agent,
  });
  return new World({ relay, agent, origin, folder, before });
}

/** Sockets, servers and timers that keep this process alive. */
function countResources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) {
    if (COUNTED.includes(name)) counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Fails when more is left than there was before. */
async function expectNothingLeft(before: Record<string, number>): Promise<void> {
  // The wait itself has two timers.
  const allowed = (name: string): number => (before[name] ?? 0) + (name === "Timeout" ? 2 : 0);
  const left = (): string[] =>
    Object.entries(countResources())
      .filter(([name, count]) => count > allowed(name))
      .map(([name, count]) => `${count} ${name}, ${before[name] ?? 0} before`);
  await eventually(
    () => `nothing to be left: ${left().join("; ")}`,
    () => left().length === 0,
    5_000,
  );
}
