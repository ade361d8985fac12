import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { Agent, fetch as undiciFetch } from "undici";
import { expect, it } from "vitest";
import { RealWorld } from "./real-world.ts";

const STEPS = 5;

it("streams a tool's progress one notification at a time, then its result", async () => {
  // The tool takes its next step only when the client has seen the last one: buffering anywhere would stop it for good.
  let advance: (() => void) | undefined;
  const server = new McpServer({ name: "demo", version: "1.0.0" });
  server.registerTool("count", { description: "counts" }, async (extra) => {
    for (let step = 1; step <= STEPS; step += 1) {
      const seen = new Promise<void>((resolve) => {
        advance = resolve;
      });
      await extra.sendNotification({
        method: "notifications/progress",
        params: { progressToken: extra._meta?.progressToken ?? 0, progress: step, total: STEPS },
      });
      await seen;
    }
    return { content: [{ type: "text", text: "done" }] };
  });
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => randomUUID() });
  await server.connect(transport as Parameters<typeof server.connect>[0]);
  const app = createServer((request: IncomingMessage, response: ServerResponse) => {
    void transport.handleRequest(request, response);
  });
  await using world = await RealWorld.forwarding(app);

  const client = new Client({ name: "test", version: "1.0.0" });
  // Names under localhost are this machine whatever the resolver says.
  const dispatcher = new Agent({
    connect: { lookup: (_name, _o, done) => done(null, [{ address: "127.0.0.1", family: 4 }]) },
  });
  const clientTransport = new StreamableHTTPClientTransport(new URL("/mcp", world.tunnel.url()), {
    fetch: (url, init) => undiciFetch(url, { ...(init as object), dispatcher }) as unknown as Promise<Response>,
  });
  await client.connect(clientTransport as Parameters<typeof client.connect>[0]);
  expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(["count"]);
  const progress: number[] = [];
  const result = await client.callTool({ name: "count", arguments: {} }, undefined, {
    onprogress: (update) => {
      progress.push(update.progress);
      advance?.();
    },
  });
  expect(result.content).toEqual([{ type: "text", text: "done" }]);
  expect(progress).toEqual([1, 2, 3, 4, 5]);
  await client.close();
  await server.close();
  await dispatcher.destroy();
});
