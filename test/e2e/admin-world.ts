import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hello } from "@ggrok/protocol";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { RawAgent } from "./raw-agent.ts";

/** An answer of the admin API. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: Record<string, unknown> & { [key: string]: unknown };
}

/** A relay with an admin token and a store on disk. */
export class AdminWorld implements AsyncDisposable {
  readonly relay: Relay;
  readonly dataDir: string;
  readonly #agents: RawAgent[] = [];

  private constructor(relay: Relay, dataDir: string) {
    this.relay = relay;
    this.dataDir = dataDir;
  }

  static async start(options: RelayOptions = {}): Promise<AdminWorld> {
    const dataDir = mkdtempSync(join(tmpdir(), "ggrok-admin-"));
    const relay = await createRelay({
      bind: "127.0.0.1",
      domain: "t.example",
      adminToken: "root",
      hold: "0s",
      dataDir,
      ...options,
    });
    return new AdminWorld(relay, dataDir);
  }

  get origin(): string {
    return `http://127.0.0.1:${String(this.relay.port)}`;
  }

  /** Asks the admin API, with the admin token unless another is given. */
  async api(method: string, path: string, body?: unknown, token: string | null = "root"): Promise<ApiAnswer> {
    const response = await fetch(`${this.origin}/$$ggrok/api${path}`, {
      method,
      headers: {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }

  /** Makes a token and gives its secret. */
  async token(name: string, rights: Record<string, unknown> = {}): Promise<string> {
    const { status, body } = await this.api("POST", "/v1/tokens", { name, ...rights });
    if (status !== 201) throw new Error(`no token: ${JSON.stringify(body)}`);
    return String(body["secret"]);
  }

  /** An agent that is online. */
  async agent(token: string, hello: Partial<Hello> = {}): Promise<RawAgent> {
    const unique = `raw-agent-${String(this.#agents.length)}`;
    const [agent] = await RawAgent.online(
      this.origin,
      { agentId: unique, instance: unique, label: unique, ...hello },
      { token },
    );
    this.#agents.push(agent);
    return agent;
  }

  /** What a visitor of a host gets. */
  async visit(host: string, path = "/"): Promise<{ status: number; code: string | null }> {
    const { request } = await import("node:http");
    return new Promise((resolve, reject) => {
      const req = request({ host: "127.0.0.1", port: this.relay.port, path, headers: { host }, agent: false });
      req.on("error", reject);
      req.on("response", (res) => {
        res.resume();
        resolve({ status: res.statusCode ?? 0, code: (res.headers["ggrok-error"] as string | undefined) ?? null });
      });
      req.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) agent.terminate();
    await this.relay.destroy();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
