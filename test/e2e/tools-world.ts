import { once } from "node:events";
import { request } from "node:http";
import { createRelay, type Relay } from "@ggrok/server";
import { DEADLINE_MS } from "../harness/deadline.ts";
import { type RawAnswer, RawClient } from "../harness/raw-client.ts";
import { RawOrigin } from "../harness/raw-origin.ts";
import { Place, type Program } from "./cli-world.ts";

/** An object of the local API. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads deep into answers whose shape it is about to prove
export type ApiObject = any;

/** A relay in this process, an agent as a process of its own, and an app of bytes whose exchanges are recorded. */
export class ToolsWorld implements AsyncDisposable {
  readonly relay: Relay;
  readonly place: Place;
  readonly origin: RawOrigin;
  readonly agent: Program;
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

  static async start(args: readonly string[] = []): Promise<ToolsWorld> {
    const relay = await createRelay({ bind: "127.0.0.1", domain: "localhost" });
    const place = new Place();
    const origin = await RawOrigin.start();
    const relayUrl = `http://localhost:${relay.port}`;
    const agent = place.ggrok(["http", "--json", "--relay", relayUrl, ...args, String(origin.port)]);
    const world = new ToolsWorld(relay, place, origin, agent);
    world.host = new URL(String((await agent.event("tunnel.online"))["url"])).host;
    world.web = String((await agent.event("inspector.online"))["url"]);
    return world;
  }

  /** Bytes of a request with the tunnel's Host. */
  bytes(startLine: string, fields: readonly string[], body: string | Buffer = ""): Buffer {
    const head = `${[startLine, `Host: ${this.host}`, ...fields].join("\r\n")}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head, "latin1"), typeof body === "string" ? Buffer.from(body, "latin1") : body]);
  }

  /** Sends a request through the tunnel and gives the visitor's answer. */
  async visit(bytes: Buffer, method?: string): Promise<RawAnswer> {
    await using visitor = await RawClient.connect(this.relay.port, { first: bytes });
    const answer = await visitor.answer(method);
    if (answer === undefined) throw new Error("no answer");
    return answer;
  }

  /** Sends a request through the tunnel and gives what was recorded of it. */
  async record(bytes: Buffer, filter: string): Promise<ApiObject> {
    await this.visit(bytes);
    return await this.exchange(filter);
  }

  /** The newest exchange that a filter finds, as the local API shows it. */
  async exchange(filter: string): Promise<ApiObject> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const { json } = await this.api(`/api/requests/http?limit=1&${filter}`);
      const [newest] = json.requests;
      if (newest !== undefined && newest.outcome !== "open") return (await this.api(newest.uri)).json;
      if (Date.now() > deadline) throw new Error(`no such exchange: ${filter}; ${JSON.stringify(json)}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }

  /** Calls the local API: GET, or POST when there is a body. */
  async api(path: string, body?: unknown): Promise<{ status: number; text: string; json: ApiObject }> {
    const call = request(`${this.web}${path}`, {
      method: body === undefined ? "GET" : "POST",
      agent: false,
      ...(body !== undefined && { headers: { "content-type": "application/json" } }),
    });
    call.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
    const [response] = await once(call, "response", { signal: AbortSignal.timeout(DEADLINE_MS) });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    return {
      status: response.statusCode,
      text,
      get json() {
        return JSON.parse(text);
      },
    };
  }

  /** Sends a recorded request again. */
  replay(order: Record<string, unknown>): Promise<{ status: number; json: ApiObject }> {
    return this.api("/api/requests/http", order);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
    await this.relay.close(1_000);
    await this.place[Symbol.asyncDispose]();
  }
}
