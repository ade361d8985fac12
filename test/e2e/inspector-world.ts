import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { createRelay, type Relay } from "@ggrok/server";
import { DEADLINE_MS } from "../harness/deadline.ts";
import { type RawAnswer, RawClient } from "../harness/raw-client.ts";
import { RawOrigin } from "../harness/raw-origin.ts";
import { Place, type Program } from "./cli-world.ts";

/** What the local API answers. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly bytes: Buffer;
  readonly text: string;
  /** The body as JSON. */
  readonly json: ApiObject;
}

/** An object of the local API. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads deep into answers whose shape it is about to prove
export type ApiObject = any;

/** What an event of `/api/events` says. */
export interface ApiEvent {
  readonly name: string;
  readonly id: string | undefined;
  readonly data: ApiObject;
}

/** A relay in this process, an agent as a process of its own, and an app of bytes whose exchanges are recorded. */
export class InspectorWorld implements AsyncDisposable {
  readonly relay: Relay;
  readonly place: Place;
  readonly origin: RawOrigin;
  agent: Program;
  /** Address of the local API. */
  web = "";
  /** Value of the Host field under which the app is reached. */
  host = "";

  private constructor(relay: Relay, place: Place, origin: RawOrigin, agent: Program) {
    this.relay = relay;
    this.place = place;
    this.origin = origin;
    this.agent = agent;
  }

  /** @param port of another app than {@link origin} */
  static async start(args: readonly string[] = [], port?: number): Promise<InspectorWorld> {
    const relay = await createRelay({ bind: "127.0.0.1", domain: "localhost" });
    const place = new Place();
    const origin = await RawOrigin.start();
    const world = new InspectorWorld(relay, place, origin, spawnAgent(relay, place, args, port ?? origin.port));
    await world.#online();
    return world;
  }

  /** Starts one more agent in the same folder, or the only one again. */
  async startAgent(args: readonly string[] = []): Promise<Program> {
    this.agent = spawnAgent(this.relay, this.place, args, this.origin.port);
    await this.#online();
    return this.agent;
  }

  /** A request's head, with the Host field and the end of the head. */
  head(startLine: string, ...lines: string[]): string {
    return `${[startLine, `Host: ${this.host}`, ...lines].join("\r\n")}\r\n\r\n`;
  }

  /** Bytes of a request with the Host field. */
  bytes(startLine: string, fields: readonly string[], body: string | Buffer = ""): Buffer {
    const head = Buffer.from(this.head(startLine, ...fields), "latin1");
    return Buffer.concat([head, typeof body === "string" ? Buffer.from(body, "latin1") : body]);
  }

  /** A visitor's connection. */
  visit(first?: string | Buffer): Promise<RawClient> {
    return RawClient.connect(this.relay.port, first === undefined ? {} : { first });
  }

  /** Sends a request on a connection of its own and gives the visitor's answer. */
  async ask(text: string | Buffer, method?: string): Promise<RawAnswer> {
    await using visitor = await this.visit(text);
    const answer = await visitor.answer(method);
    if (answer === undefined) throw new Error("no answer");
    return answer;
  }

  /** Sends a request through the tunnel and gives what was recorded of it. */
  async record(bytes: Buffer, filter: string): Promise<ApiObject> {
    await this.ask(bytes);
    return await this.exchange(filter);
  }

  /** What agents of this place have written about exchanges and about themselves. */
  inspectorFiles(): string[] {
    const folder = join(this.place.folder, "state", "ggrok", "inspector");
    if (!existsSync(folder)) return [];
    const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  }

  /** Calls the local API. */
  api(path: string, o: Parameters<typeof callApi>[2] = {}): Promise<ApiAnswer> {
    return callApi(this.web, path, o);
  }

  /** Posts JSON to the local API. */
  post(path: string, body: unknown): Promise<ApiAnswer> {
    const json = typeof body === "string" ? body : JSON.stringify(body);
    return this.api(path, { method: "POST", headers: { "content-type": "application/json" }, body: json });
  }

  /** Sends a recorded request again. */
  replay(order: Record<string, unknown>): Promise<ApiAnswer> {
    return this.post("/api/requests/http", order);
  }

  /** The newest exchange that a filter finds and that has ended, as the API shows it whole. */
  async exchange(filter: string, isReady: (summary: ApiObject) => boolean = hasEnded): Promise<ApiObject> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const { json } = await this.api(`/api/requests/http?limit=1&${filter}`);
      const [newest] = json.requests;
      if (newest !== undefined && isReady(newest)) return (await this.api(newest.uri)).json;
      if (Date.now() > deadline) throw new Error(`no such exchange: ${filter}; ${JSON.stringify(json)}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
    await this.relay.close(1_000);
    await this.place[Symbol.asyncDispose]();
  }

  async #online(): Promise<void> {
    this.host = new URL(String((await this.agent.event("tunnel.online"))["url"])).host;
    this.web = String(this.agent.events("inspector.online")[0]?.["url"] ?? "");
  }
}

function spawnAgent(relay: Relay, place: Place, args: readonly string[], port: number): Program {
  return place.ggrok(["http", "--json", "--relay", `http://localhost:${relay.port}`, ...args, String(port)]);
}

/** Calls a local API; the fields are sent as they are given, Host too. */
export async function callApi(
  web: string,
  path: string,
  o: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<ApiAnswer> {
  const response = await openApi(web, path, o);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    bytes,
    get text() {
      return bytes.toString("utf8");
    },
    get json() {
      return JSON.parse(bytes.toString("utf8"));
    },
  };
}

/** Calls a local API and gives the answer's head as soon as it is there. */
export async function openApi(
  web: string,
  path: string,
  o: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<IncomingMessage> {
  const { hostname, port } = new URL(web);
  const call = request({
    host: hostname,
    port,
    path,
    method: o.method ?? "GET",
    headers: o.headers ?? {},
    agent: false,
  });
  call.end(o.body);
  const [response] = (await once(call, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [IncomingMessage];
  return response;
}

/** Follows `/api/events`. */
export class EventReader implements Disposable {
  readonly response: IncomingMessage;
  readonly events: ApiEvent[] = [];
  readonly #waiters = new Set<() => void>();

  private constructor(response: IncomingMessage) {
    this.response = response;
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      const parts = (text + chunk).split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) this.#take(part);
      for (const wake of [...this.#waiters]) wake();
    });
    response.on("error", () => {});
  }

  static async open(web: string, headers: Record<string, string> = {}): Promise<EventReader> {
    return new EventReader(await openApi(web, "/api/events", { headers }));
  }

  of(name: string): ApiEvent[] {
    return this.events.filter((event) => event.name === name);
  }

  /** Waits until something is true of the events. */
  async until(what: string, isTrue: () => boolean): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!isTrue()) {
      if (Date.now() > deadline) throw new Error(`${what} did not come; there are ${JSON.stringify(this.events)}`);
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, 1_000);
        this.#waiters.add(() => {
          clearTimeout(timer);
          wake();
        });
      });
      this.#waiters.clear();
    }
  }

  [Symbol.dispose](): void {
    this.response.destroy();
  }

  #take(part: string): void {
    const fields = new Map(
      part.split("\n").map((line) => [line.split(": ", 1)[0] ?? "", line.slice(line.indexOf(": ") + 2)]),
    );
    const name = fields.get("event");
    if (name === undefined) return;
    this.events.push({ name, id: fields.get("id"), data: JSON.parse(fields.get("data") ?? "null") });
  }
}

function hasEnded(summary: ApiObject): boolean {
  return summary.outcome !== "open";
}
